"""The rules that ship: each loads, is tested, has its page, and does in the judge what its tests say."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from monitor import shipped
from monitor.attribute.catalogue import Catalogue
from monitor.cli import app
from monitor.judge import Judge, load_rules
from monitor.judge.rule_file import Need
from monitor.judge.selftest import Case

from .frames import NO_DNS, NO_FLOWS, SECOND, batch

FOLDER = shipped.rules()
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
PROVIDERS = set(Catalogue.load().provider_ids())
NEEDS: list[Need] = ["published", "sanctioned_providers", "resolvers", "gateways"]
FOUND = load_rules([FOLDER], sanctioned=["aws"], providers=PROVIDERS, workloads=set(), configured=NEEDS)
CASES = [case for cases in FOUND.cases.values() for case in cases]


def test_all_load_and_are_told_of_nothing() -> None:
    assert FOUND.broken == []
    assert FOUND.warnings == []
    assert {rule.id for rule in FOUND.rules} == {path.stem for path in FOLDER.glob("*.yml")}
    assert len(FOUND.rules) >= 30


def test_without_configuration_only_those_sleep_that_would_mind_everything() -> None:
    found = load_rules([FOLDER], sanctioned=[], providers=PROVIDERS, workloads=set())
    assert {rule.id: rule.asleep for rule in found.rules if rule.asleep} == {
        "beacon": "sanctioned_providers is empty",
        "bulk-exposure": "published is empty",
        "encrypted-dns": "resolvers is empty",
        "known-bad-address": "the configuration has no list 'bad-addresses'",
        "known-bad-domain": "the configuration has no list 'bad-domains'",
        "proxy-bypass": "gateways is empty",
        "resolver-bypass": "resolvers is empty",
        "slow-drip": "sanctioned_providers is empty",
        "unsanctioned-cloud": "sanctioned_providers is empty",
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule.id}: {case.name}")
def test_the_judge_does_what_the_quick_run_of_the_tests_says(case: Case) -> None:
    empty = NO_FLOWS if case.rule.record == "flows" else NO_DNS
    judge = Judge([replace(case.rule, asleep=None)], lists=case.lists)  # its lists are those of the test
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
    assert critical == {"unsanctioned-cloud-alibaba", "unsanctioned-cloud-china", "exposed-data-store"}


def test_each_rule_names_a_page_that_speaks_of_it() -> None:
    for rule in FOUND.rules:
        assert rule.runbook is not None
        assert f"`{rule.id}`" in (FOLDER / rule.runbook).read_text()
    pages = {path.name for path in (FOLDER / "runbooks").glob("*.md")}
    prometheus = "".join(path.read_text() for path in (shipped.dashboards() / "prometheus").glob("*.yml"))
    own = {Path(rule.runbook or "").name for rule in FOUND.rules}
    assert [page for page in pages - own if page not in prometheus] == [], "pages that nothing leads to"


def test_the_pages_name_commands_that_there_are() -> None:
    commands = [command for command in app.registered_commands if command.callback]
    known = {command.name or command.callback.__name__ for command in commands if command.callback}
    for page in (FOLDER / "runbooks").glob("*.md"):
        named = set(re.findall(r"egress-monitor ([a-z]+)", page.read_text()))
        assert named <= known | {"rules", "capsule", "catalogue"}, page.name


def test_each_page_names_a_command_to_look_with() -> None:
    for rule in FOUND.rules:
        page = (FOLDER / str(rule.runbook)).read_text()
        assert "egress-monitor " in page, rule.runbook


def test_each_clause_of_each_rule_is_held_by_a_test_of_its_own(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "runbooks", tmp_path / "runbooks")
    for path in sorted(FOLDER.glob("*.yml")):
        rule = yaml.safe_load(path.read_text())
        for clause in rule["match"]:
            less = {**rule, "match": {key: said for key, said in rule["match"].items() if key != clause}}
            (tmp_path / path.name).write_text(yaml.safe_dump(less))
            found = load_rules([tmp_path], sanctioned=[], providers=PROVIDERS, workloads=set())
            assert found.broken, f"{path.name}: no test minds that this is gone: {clause}"
        (tmp_path / path.name).unlink()


def test_the_table_of_the_documentation_says_what_the_files_say() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (critical|warning|info) \| .+ \| (.+) \|$", PAGE, re.MULTILINE)
    needs = {rule: "" if need == "-" else need for rule, _, need in rows}
    assert {rule: severity for rule, severity, _ in rows} == {rule.id: rule.severity for rule in FOUND.rules}
    for path in FOLDER.glob("*.yml"):
        written = yaml.safe_load(path.read_text())
        wanted = {f"`{need}`" for need in written.get("needs", [])}
        wanted |= {f"list `{name}`" for name in re.findall(r"\{list: ([a-z-]+)\}", path.read_text())}
        assert set(filter(None, needs[written["id"]].split(", "))) == wanted, path.name
