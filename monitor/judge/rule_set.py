"""Loads rules from files and folders: what is right runs, what is broken is told and left out."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monitor import yaml_file
from monitor.config import Config
from monitor.errors import InputError
from monitor.judge.case_capture import ReadCapture
from monitor.judge.condition import Vocabulary
from monitor.judge.rule import Rule, compile_rule
from monitor.judge.rule_file import Need, RuleFile
from monitor.judge.selftest import Case, CaseResult, compile_cases, explain, run_cases
from monitor.yaml_file import Document

MAX_RULE_BYTES = 256 * 1024
MAX_RULES = 1000
SUFFIXES = (".yml", ".yaml")


@dataclass
class RuleSet:
    """What was found: the rules that run, why others do not, and what each rule's tests gave.

    `rules` holds sleeping ones too (`Rule.asleep` says why). `warnings` are one line each.
    """

    rules: list[Rule] = field(default_factory=list)
    broken: list[InputError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    cases: dict[str, list[Case]] = field(default_factory=dict)  # by rule id
    results: dict[str, list[CaseResult]] = field(default_factory=dict)  # by rule id, of broken ones too


def load_rules(
    paths: Sequence[Path],
    *,
    sanctioned: Sequence[str],
    providers: Collection[str],
    workloads: Collection[str] | None,
    configured: Collection[Need] = (),
    lists: Collection[str] = (),
    captures: ReadCapture | None = None,
) -> RuleSet:
    """Load the rules of files and folders, run their tests, and give those that are right.

    Args:
        paths: rule files, or folders whose ``.yml`` and ``.yaml`` files are rules.
        sanctioned: the configuration's ``sanctioned_providers``.
        providers: the ids of the catalogue.
        workloads: the names that the configuration gives; None: any may come.
        configured: of what a rule can need, what the configuration has; rules that need more sleep.
        lists: the names of the configuration's lists.
        captures: gives the rows of a capture; None: tests that have one are not run.

    Never raises for what is in a file: see `RuleSet.broken`.
    """
    found = RuleSet()
    vocabulary = Vocabulary(
        frozenset(providers),
        None if workloads is None else frozenset(workloads),
        tuple(sanctioned),
        frozenset(lists),
        frozenset(configured),
    )
    owners: dict[str, str] = {}
    for path in _files(paths, found):
        try:
            if len(owners) >= MAX_RULES:
                raise InputError(f"{path}: more than {MAX_RULES} rules")
            document, written = _read(path)
            if written.id in owners:
                where = owners[written.id]
                raise document.error(("id",), f"the id {written.id!r} is already taken by {where}")
            rule = compile_rule(document, written, vocabulary)
            _test(document, written, rule, vocabulary, captures, found)
        except InputError as error:
            found.broken.append(error)
            continue
        owners[rule.id] = str(path)
        found.rules.append(rule)
        found.warnings += _warnings(document, written, vocabulary)
    return found


def load_configured(
    config: Config, paths: Sequence[Path], providers: Collection[str], captures: ReadCapture | None = None
) -> RuleSet:
    """Load rules for a configuration (`load_rules`).

    Args:
        config: what is sanctioned, published, named, listed.
        paths: the rules, or `config.rules`.
        providers: the ids of the catalogue.
        captures: as in `load_rules`.
    """
    has: dict[Need, object] = {
        "published": config.published,
        "sanctioned_providers": config.sanctioned_providers,
        "resolvers": config.resolvers,
        "gateways": config.networks.gateways,
    }
    return load_rules(
        paths,
        sanctioned=config.sanctioned_providers,
        providers=providers,
        workloads=None if config.workloads_file else set(config.workloads),
        configured=[need for need, given in has.items() if given],
        lists=config.lists,
        captures=captures,
    )


def _files(paths: Sequence[Path], found: RuleSet) -> Iterator[Path]:
    """Give the rule files; a path that leads to none is broken."""
    seen: set[Path] = set()
    for path in paths:
        try:
            files = sorted(file for file in path.iterdir() if _is_rule(file)) if path.is_dir() else [path]
        except OSError as error:
            found.broken.append(InputError(f"{path}: {error.strerror or error}"))
            continue
        if not files:
            found.broken.append(InputError(f"{path}: no rules here; a rule is a file that ends in .yml"))
        for file in files:
            if file.absolute() not in seen:
                seen.add(file.absolute())
                yield file


def _is_rule(file: Path) -> bool:
    return file.suffix in SUFFIXES and not file.name.startswith(".") and not file.is_dir()


def _read(path: Path) -> tuple[Document, RuleFile]:
    try:
        if path.is_file() and path.stat().st_size > MAX_RULE_BYTES:
            raise InputError(f"{path}: larger than {MAX_RULE_BYTES // 1024} KiB, which no rule is")
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: not a file")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    document = yaml_file.read(path)
    return document, yaml_file.validate(document, RuleFile)


def _test(
    document: Document,
    written: RuleFile,
    rule: Rule,
    vocabulary: Vocabulary,
    captures: ReadCapture | None,
    found: RuleSet,
) -> None:
    cases = compile_cases(document, written, rule, vocabulary.providers, captures)
    results = run_cases(cases)
    found.cases[rule.id] = cases
    found.results[rule.id] = results
    for case, result in zip(cases, results, strict=True):
        if not result.passed:
            raise document.error(("tests", case.index), explain(result, rule))


def _warnings(document: Document, written: RuleFile, vocabulary: Vocabulary) -> list[str]:
    """Tell what is right but probably not meant: a misspelt workload, a runbook that is not there."""
    told = []
    workloads = vocabulary.workloads or ()
    for index, exception in enumerate(written.exceptions):
        workload = exception.match.get("workload")
        if isinstance(workload, str) and workload not in workloads:
            hint = yaml_file.nearest(workload, workloads)
            if hint:
                where = document.where(("exceptions", index, "match", "workload"))
                told.append(f"{where}: the configuration has no workload {workload!r}{hint}")
    runbook = written.runbook
    if runbook and "://" not in runbook and not (document.path.parent / runbook).is_file():
        told.append(f"{document.where(('runbook',))}: {runbook}: no such file")
    return told
