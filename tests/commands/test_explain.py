"""``explain`` tells an alert of the incident out of the state, offline."""

import json
from pathlib import Path

import jsonschema
import pytest

from monitor import shipped, yaml_file
from monitor.judge.rule_schema import rule_schema

from .command import run


@pytest.fixture(scope="module")
def folder(folder: Path) -> Path:
    """The incident, played with a state."""
    arguments = ("replay", "incident.pcap", "-c", "egress.yml", "--state", "state", "--alerts", "a.jsonl")
    done = run(*arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def alerts(folder: Path) -> dict[str, dict[str, object]]:
    """The last that was told of each alert."""
    lines = [json.loads(line) for line in (folder / "a.jsonl").read_text().splitlines()]
    return {line["id"]: line for line in lines}


def test_every_alert_can_be_explained_later(folder: Path) -> None:
    told = alerts(folder)
    assert told
    for identity, alert in told.items():
        done = run("explain", identity, "--state", "state", "--json", cwd=folder)
        assert (done.returncode, done.stderr) == (0, "")
        kept = json.loads(done.stdout)
        for key in ("rule", "group", "began", "version", "threshold", "measure", "exceptions"):
            assert kept[key] == alert[key], key
        assert all(flow["attribution"] for flow in kept["flows"] if "flow_id" in flow)
        shown = run("explain", identity[:8], "--state", "state", cwd=folder)
        assert shown.returncode == 0
        for word in (identity, str(alert["rule"]), str(alert["began"])[:19], "mostly to", "evidence"):
            assert word in shown.stdout


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("zz", "'zz' is not an alert's id"),
        ("00", "is not an alert's id"),
        ("ffffffffffffffff", "no alert 'ffffffffffffffff' is kept here"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(folder: Path, wanted: str, message: str) -> None:
    done = run("explain", wanted, "--state", "state", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_a_state_that_is_told(tmp_path: Path) -> None:
    done = run("explain", "ffff", "--state", tmp_path / "none")
    assert done.returncode == 2
    assert "nothing was kept here" in done.stderr


def test_the_schema_takes_the_shipped_rules_and_refuses_a_misspelt_key() -> None:
    schema = rule_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    for path in sorted(shipped.rules().glob("*.yml")):
        written = yaml_file.read(path).value
        wrong = [error.message for error in check.iter_errors(written)]
        assert not wrong, (path.name, wrong)
        assert list(check.iter_errors({**written, "severty": "info"}))
