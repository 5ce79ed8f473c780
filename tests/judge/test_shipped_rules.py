"""The rules that ship: each loads, is tested, has its page, and does in the judge what its tests say."""

import re
import shutil
from pathlib import Path

import pytest

from monitor import shipped
from monitor.judge import Judge, load_rules
from monitor.judge.rule_file import Need
from monitor.judge.selftest import Case

from .frames import NO_DNS, NO_FLOWS, SECOND, batch

FOLDER = shipped.rules()
# of the catalogue; a misspelt one in a rule is found by the check below
PROVIDERS = {"alibaba", "aws", "github", "hetzner", "mega", "ovh"}
NEEDS: list[Need] = ["published", "sanctioned_providers", "resolvers", "gateways"]
FOUND = load_rules([FOLDER], sanctioned=["aws"], providers=PROVIDERS, workloads=set(), configured=NEEDS)
CASES = [case for cases in FOUND.cases.values() for case in cases]


def test_all_load_and_are_told_of_nothing() -> None:
    assert FOUND.broken == []
    assert FOUND.warnings == []
    assert {rule.id for rule in FOUND.rules} == {path.stem for path in FOLDER.glob("*.yml")}
    assert len(FOUND.rules) >= 6


def test_without_configuration_only_those_sleep_that_would_mind_everything() -> None:
    found = load_rules([FOLDER], sanctioned=[], providers=PROVIDERS, workloads=set())
    assert {rule.id for rule in found.rules if rule.asleep} == {"bulk-exposure", "unsanctioned-cloud"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule.id}: {case.name}")
def test_the_judge_does_what_the_quick_run_of_the_tests_says(case: Case) -> None:
    empty = NO_FLOWS if case.rule.record == "flows" else NO_DNS
    judge = Judge([case.rule])
    judge.start()
    fired = []
    for row in (*case.learnt, *case.rows):
        frame = batch([row], empty)
        end = (int(row["tick"]) + 1) * SECOND
        pair = (frame, NO_DNS) if case.rule.record == "flows" else (NO_FLOWS, frame)
        fired += judge.judge(*pair, end)
    assert ("fires" if fired else "quiet") == case.expected


def test_only_few_page() -> None:
    critical = {rule.id for rule in FOUND.rules if rule.severity == "critical"}
    assert critical == {"unsanctioned-cloud-alibaba", "exposed-data-store"}


def test_each_rule_names_a_page_that_speaks_of_it() -> None:
    for rule in FOUND.rules:
        assert rule.runbook is not None
        assert f"`{rule.id}`" in (FOLDER / rule.runbook).read_text()
    pages = {path.name for path in (FOLDER / "runbooks").glob("*.md")}
    assert pages == {Path(rule.runbook or "").name for rule in FOUND.rules}


def test_each_clause_of_each_rule_is_held_by_a_test_of_its_own(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "runbooks", tmp_path / "runbooks")
    for path in sorted(FOLDER.glob("*.yml")):
        text = path.read_text()
        match = text.split("\nmatch:\n")[1].split("\nmeasure:")[0]
        for clause in re.findall(r"^  [a-z_]+:.*\n?(?:^    - .*\n?)*", match, re.MULTILINE):
            (tmp_path / path.name).write_text(
                text.replace(clause, "", 1).replace("match:\nmeasure", "match: {}\nmeasure")
            )
            found = load_rules([tmp_path], sanctioned=[], providers=PROVIDERS, workloads=set())
            assert found.broken, f"{path.name}: no test minds that this is gone: {clause.strip()}"
        (tmp_path / path.name).unlink()
