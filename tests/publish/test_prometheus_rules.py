"""The shipped alerting rules: promtool accepts them, they fire as they should, and their metrics exist."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted((ROOT / "dashboards" / "prometheus").glob("*.yml"))
CASES = Path(__file__).with_name("prometheus") / "alerts_test.yml"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed: apt-get install prometheus"
)


@needs_promtool
def test_promtool_accepts_the_rules() -> None:
    assert PROMTOOL is not None
    assert RULES
    checked = subprocess.run(
        [PROMTOOL, "check", "rules", *RULES], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


@needs_promtool
def test_the_rules_fire_when_they_should() -> None:
    assert PROMTOOL is not None
    tested = subprocess.run([PROMTOOL, "test", "rules", CASES], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_metric_that_a_rule_names_is_documented() -> None:
    documented = set(re.findall(r"`(egress_\w+)`", (ROOT / "docs" / "metrics.md").read_text()))
    for path in RULES:
        named = set(re.findall(r"\begress_\w+", path.read_text()))
        assert named
        assert named <= documented


def test_every_alert_is_in_the_readme() -> None:
    readme = (ROOT / "dashboards" / "README.md").read_text()
    for path in RULES:
        for name in re.findall(r"- alert: (\w+)", path.read_text()):
            assert f"| `{name}` |" in readme
