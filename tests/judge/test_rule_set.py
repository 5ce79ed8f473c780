"""Rule files: what is right loads, what is wrong is told in one line with its place."""

import os
from pathlib import Path
from typing import Any

import pytest

from monitor.judge import Judge, load_rules
from monitor.judge.rule_set import MAX_RULE_BYTES

from .frames import LOOSE_TESTS, MIB, NO_DNS, PROVIDERS, RULE, at, batch, flow, load

EXAMPLE = """\
id: unsanctioned-cloud-alibaba
title: Data leaves for Alibaba Cloud
severity: critical              # info | warning | critical
status: stable                  # experimental | stable
mitre: [T1567.002]
runbook: runbooks/unsanctioned-cloud.md
match:
  any_provider: alibaba         # a value, a list, a glob, a CIDR, a range, or {not: ...}
  published: false              # not the answers of a service that is meant to answer strangers
measure: {sum: payload_out, per: [workload], window: 10m}
fire: {above: 1MiB}             # above | novel | baseline | ratio | distinct | periodic; several: all must hold
resolve_after: 15m
exceptions:
  - match: {workload: video-cdn, name: "*.alicdn.com"}
    reason: images of the shop front
    owner: team-shop
    expires: 2027-03-31
tests:
  - name: a bulk upload to OSS fires
    flows: [{workload: api, network_provider: alibaba, payload_out: 2MiB}]
    expect: fires
  - name: the same to S3 stays quiet
    flows: [{workload: api, network_provider: aws, payload_out: 2MiB}]
    expect: quiet
  - name: what the public shop answers to a crawler there stays quiet
    flows: [{workload: web, network_provider: alibaba, initiator: remote, local_port: 443, published: true, payload_out: 2MiB}]
    expect: quiet
"""  # noqa: E501


def test_the_example_of_the_design_is_a_rule(tmp_path: Path) -> None:
    found = load(tmp_path, EXAMPLE, workloads=set())
    assert found.broken == []
    (rule,) = found.rules
    assert (rule.ways.line, rule.measure.window, rule.resolve_after) == (1024**2, 600, 900)
    assert [result.passed for result in found.results[rule.id]] == [True] * 3
    assert str(rule.exceptions[0].expires) == "2027-03-31"


def test_the_rule_and_the_error_in_the_documentation_are_true(tmp_path: Path) -> None:
    page = Path(__file__).parents[2].joinpath("docs", "rules.md")
    if not page.is_file():
        pytest.skip("the documentation is not beside the tests")
    text = page.read_text()
    written = text.split("```yaml\n")[1].split("```")[0]
    assert load(tmp_path, written).broken == []
    (told,) = load(tmp_path, written.replace("any_provider: alibaba", "any_provider: alibba")).broken
    assert str(told).partition(":8: ")[2] in text


def change(old: str, new: str) -> str:
    assert old in EXAMPLE
    return EXAMPLE.replace(old, new)


def excepting(said: str) -> str:
    return change('{workload: video-cdn, name: "*.alicdn.com"}', f"{{{said}}}")


def ratio(of: str, to: str, above: object) -> str:
    return change("above: 1MiB", f"ratio: {{of: {of}, to: {to}, above: {above}, floor: 1}}")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (change("severity: critical", "severty: critical"), 3, "did you mean 'severity'?"),
        (change("severity: critical", "severity: high"), 3, "severity: Input should be 'info'"),
        (change("window: 10m", "window: 0s"), 10, "a window of zero"),
        (change("window: 10m", "window: 600"), 10, "is not a duration"),
        (change("window: 10m", "window: 1500ms"), 10, "whole seconds only"),
        (change("window: 10m", "windw: 10m"), 10, "unknown key 'windw'; did you mean 'window'?"),
        (change("sum: payload_out", "sum: payload_otu"), 10, "did you mean 'payload_out'?"),
        (change("sum: payload_out", "sum: question_bytes"), 10, "no record carries 'question_bytes' to sum"),
        (change("sum: payload_out", "sum: payload_out, count: name"), 10, "give either 'sum' or 'count'"),
        (change("per: [workload]", "per: [wrkload]"), 10, "did you mean 'workload'?"),
        (change("per: [workload]", "per: [workload, workload]"), 10, "stands here twice"),
        (change("above: 1MiB", "above: 1MB/s"), 11, "is not a size"),
        (change("above: 1MiB", ""), 11, "give one of above, novel, baseline, ratio, distinct, periodic"),
        (change("above: 1MiB", "novel: {of: country}"), 11, "'floor' is missing"),
        (change("above: 1MiB", "novel: {of: country, floor: 0}"), 11, "floor"),
        (change("above: 1MiB", "novel: {of: contry, floor: 1}"), 11, "did you mean 'country'?"),
        (change("above: 1MiB", "novel: {of: workload, floor: 1}"), 11, "already stands in measure.per"),
        (change("above: 1MiB", "abov: 1MiB"), 11, "unknown key 'abov'; did you mean 'above'?"),
        (change("above: 1MiB", "baseline: {}"), 11, "'floor' is missing"),
        (change("above: 1MiB", "baseline: {floor: 1, deviation: 3}"), 11, "did you mean 'deviations'?"),
        (ratio("payload_ot", "payload_in", 2), 11, "'payload_out'?"),
        (ratio("payload_in", "payload_in", 2), 11, "always 1"),
        (ratio("payload_in", "bytes_in", "x"), 11, "not a number"),
        (change("above: 1MiB", "distinct: {of: remote_adress, above: 3}"), 11, "'remote_address'?"),
        (change("above: 1MiB", "distinct: {of: name, above: 4001}"), 11, "less than or equal to 4000"),
        (change("above: 1MiB", "distinct: {of: workload, above: 4}"), 11, "already stands in measure.per"),
        (change("above: 1MiB", "periodic: {jitter: 10}"), 11, "is not a share; write it like 10%"),
        (change("above: 1MiB", "periodic: {between: 10s}"), 11, "is not a stretch of time"),
        (change("above: 1MiB", "periodic: {between: 2m-3m}"), 11, "12 starts take at least 22m"),
        (change("published: false ", "country: {list: bad} "), 9, "a list holds addresses and domains"),
        (change("any_provider: alibaba ", "any_provider: alibba "), 8, "did you mean 'alibaba'?"),
        (change("any_provider: alibaba ", "any_provder: alibaba "), 8, "did you mean 'any_provider'?"),
        (change("T1567.002", "T15"), 5, "is not a technique"),
        (excepting(""), 14, "matches everything"),
        (excepting("workload: '*'"), 14, "matches everything"),
        (excepting("any_provider: alibaba"), 14, "matches everything"),
        (excepting("remote_address: 0.0.0.0/0"), 14, "matches everyth"),
        (excepting("scope: [egress, internal, transit]"), 14, "matches"),
        (change("2027-03-31", "never"), 17, "'never' is not a day"),
        (change("window: 10m}", f"window: {'9' * 400}s}}"), 10, "out of range for a duration"),
        (change("above: 1MiB", f"above: {'9' * 400}KiB"), 11, "out of range for a size"),
        (change("payload_out: 2MiB}]", "payload_out: 2MiB, repeat: 3, every: 50000d}]"), 20, "the year 2262"),
        (change("payload_out: 2MiB}]", "payload_out: 2MiB, repeat: 3, vary: [workload]}]"), 20, "vary"),
        (change("expect: quiet\n", "expect: quiet\n    at: 9999-12-31\n"), 25, "between 1972 and 2200"),
        (change("    owner: team-shop\n", ""), 14, "'owner' is missing"),
        (change("network_provider: aws, ", "network_provider: asw, "), 23, "did you mean 'aws'?"),
        (change("network_provider: aws, ", "network_proveder: aws, "), 23, "'network_provider'?"),
        (change("network_provider: aws, ", "network_provider: alibaba, "), 22, "got 'fires'"),
        (change("expect: fires", "expect: quiet"), 18, "tests: at least one must expect 'fires'"),
        (change("network_provider: aws, payload_out: 2MiB}]", "}, 3]"), 23, "flows"),
        (change("title: Data leaves for Alibaba Cloud", 'title: "a\\nb"'), 2, "one line of printable text"),
        (change("id: unsanctioned-cloud-alibaba", "id: Not An Id"), 1, "is not an id"),
        (EXAMPLE + "id: twice\n", 28, "stands here twice"),
        (EXAMPLE[:300], 1, "is missing"),
        ("", 1, "is missing"),
        ("- a\n- list\n", 1, "expected keys and values, found list"),
        ("just text", 1, "expected keys and values, found str"),
        ("a: [1, 2\nb: }", 2, "not YAML"),
        ("a: &x [1]\nb: *x\n", 2, "aliases"),
        ("\t- \x00", 1, "not YAML"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_told_in_one_line_and_left_out(
    tmp_path: Path, text: str, line: int, message: str
) -> None:
    good = {"id": "good"}
    found = load(tmp_path, text, good)
    assert [rule.id for rule in found.rules] == ["good"]
    (error,) = found.broken
    assert "\n" not in str(error)
    assert message in str(error)
    assert str(error).startswith(f"{tmp_path}/00.yml:{line}: ")


def test_what_is_no_text_file_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(os.urandom(999) + b"\xff")
    (tmp_path / "b.yml").write_text("#" * (MAX_RULE_BYTES + 1))
    os.mkfifo(tmp_path / "c.yml")
    (tmp_path / "d.yml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "e.yml").mkdir()
    (tmp_path / ".hidden.yml").write_text("x")
    (tmp_path / "notes.txt").write_text("x")
    found = load_rules(
        [tmp_path, tmp_path / "missing.yml"], sanctioned=[], providers=PROVIDERS, workloads=set()
    )
    told = sorted(str(error).removeprefix(f"{tmp_path}/") for error in found.broken)
    assert [text.split(":")[0] for text in told] == ["a.yml", "b.yml", "c.yml", "d.yml", "missing.yml"]
    assert "larger than 256 KiB" in told[1]
    assert "not a file" in told[2]


def test_ten_thousand_tests_are_refused_before_they_cost_anything(tmp_path: Path) -> None:
    test = {"name": "f", "flows": [{"payload_out": 1}], "expect": "quiet"}
    found = load(tmp_path, {"tests": [test] * 300}, {"id": "more", "tests": [test] * 10_000})
    few, many = (str(error) for error in found.broken)
    assert "at most 200" in few
    assert "larger than" in many


def test_an_id_stands_for_one_rule(tmp_path: Path) -> None:
    found = load(tmp_path, {}, {})
    assert len(found.rules) == 1
    assert "the id 'a-rule' is already taken by" in str(found.broken[0])


def test_an_empty_folder_is_not_silently_no_rules(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert "no rules here" in str(found.broken[0])


def test_a_rule_sleeps_until_what_it_needs_is_configured(tmp_path: Path) -> None:
    needy: dict[str, Any] = {"needs": ["published", "sanctioned_providers"]}
    (rule,) = load(tmp_path, needy).rules
    assert rule.asleep == "published is empty and sanctioned_providers is empty"
    (rule,) = load(tmp_path, needy, configured=needy["needs"], sanctioned=["aws"]).rules
    assert rule.asleep is None


def test_an_exception_for_a_workload_that_is_nearly_one_is_mentioned(tmp_path: Path) -> None:
    excepted = {"match": {"workload": "weeb"}, "reason": "r", "owner": "o", "expires": "2027-01-01"}
    found = load(tmp_path, {"exceptions": [excepted], "runbook": "gone.md"})
    assert found.broken == []
    near, gone = found.warnings
    assert "no workload 'weeb'; did you mean 'web'?" in near
    assert "gone.md: no such file" in gone


def test_an_expiry_that_has_passed_does_not_stop_a_rule_from_loading(tmp_path: Path) -> None:
    old = {"match": {"workload": "web"}, "reason": "r", "owner": "o", "expires": "2001-01-01"}
    excepted: dict[str, Any] = {
        "name": "e",
        "flows": [{"workload": "web", "provider": "alibaba", "payload_out": "9GiB"}],
    }
    tests = [
        *LOOSE_TESTS,
        {**excepted, "expect": "quiet"},
        {**excepted, "expect": "quiet", "at": "2001-01-01T23:59:59Z"},
        {**excepted, "expect": "fires", "at": "2001-01-02"},
    ]
    assert load(tmp_path, {"exceptions": [old], "tests": tests}).broken == []


@pytest.mark.parametrize("never", ["9999-12-31", "0001-01-01"])
def test_an_exception_may_last_as_long_as_there_are_days(tmp_path: Path, never: str) -> None:
    (tmp_path / "rule.yml").write_text(EXAMPLE.replace("2027-03-31", never))
    found = load_rules([tmp_path], sanctioned=[], providers=PROVIDERS, workloads=None)
    assert found.broken == []
    judge = Judge(found.rules)
    judge.start()
    # a name that DNS answered, so that the exception holds as long as its day is not over
    upload = flow(
        0, workload="video-cdn", provider="alibaba", evidence="dns", name="a.alicdn.com", payload_out=2 * MIB
    )
    events = judge.judge(batch([upload]), NO_DNS, at(1))
    assert [event.kind for event in events] == ([] if never == "9999-12-31" else ["begun"])


def test_a_row_of_a_test_may_have_no_number_or_the_largest(tmp_path: Path) -> None:
    rows = [
        {"provider": "aws", "payload_out": "none", "packets_out": "none"},
        {"provider": "aws", "packets_out": 2**64 - 1},
    ]
    tests = [*LOOSE_TESTS, {"name": "n", "flows": rows, "expect": "quiet"}]
    assert load(tmp_path, {"tests": tests}).broken == []


def test_the_version_changes_with_what_judges_and_not_with_tests(tmp_path: Path) -> None:
    versions = []
    changes: list[dict[str, Any]] = [{}, {"tests": LOOSE_TESTS}, {"severity": "critical"}]
    for number, differs in enumerate(changes):
        folder = tmp_path / str(number)
        folder.mkdir()
        versions.append(load(folder, differs).rules[0].version)
    assert versions[0] == versions[1] != versions[2]
    assert RULE["severity"] == "warning"
