"""The shipped rules of Prometheus and routes of Alertmanager, checked with promtool and amtool."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted((ROOT / "dashboards" / "prometheus").glob("*.yml"))
CASES = sorted(Path(__file__).with_name("prometheus").glob("*_test.yml"))
ALERTMANAGER = ROOT / "dashboards" / "alertmanager" / "alertmanager.yml"
README = (ROOT / "dashboards" / "README.md").read_text()
SEVERITIES = {"critical", "warning", "info"}
PROMTOOL = shutil.which("promtool")
AMTOOL = shutil.which("amtool")
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
    tested = subprocess.run([PROMTOOL, "test", "rules", *CASES], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@needs_promtool
def test_promtool_accepts_the_example_of_the_readme(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    (example,) = re.findall(r"```yaml\n(rule_files:.*?)```", README, re.DOTALL)
    for path in RULES:
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "prometheus.yml").write_text(example)
    command = [PROMTOOL, "check", "config", str(tmp_path / "prometheus.yml")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count("rules found") == len(RULES), "the example names each file of rules"


def test_every_metric_that_a_rule_names_is_documented() -> None:
    documented = set(re.findall(r"`(egress_\w+)`", (ROOT / "docs" / "metrics.md").read_text()))
    for path in RULES:
        named = set(re.findall(r"\begress_\w+", path.read_text()))
        assert named
        assert {name.removesuffix("_bucket") for name in named} <= documented


def test_every_alert_is_in_the_readme_and_has_what_on_call_needs() -> None:
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                if "alert" not in rule:
                    continue
                assert f"| `{rule['alert']}` |" in README
                if rule["alert"] == "Watchdog":
                    continue
                assert set(rule["annotations"]) >= {"summary", "description", "runbook_url", "dashboard_url"}
                assert rule["alert"] == "EgressDetected" or rule["labels"]["severity"] in SEVERITIES


def test_each_runbook_that_a_sensor_alert_links_to_exists() -> None:
    folder = ROOT / "rules" / "runbooks"
    texts = "".join(path.read_text() for path in RULES)
    linked = set(re.findall(r"example\.org/egress/([\w-]+)\.md", texts))
    assert linked >= {"sensor", "canary"}
    assert all((folder / f"{name}.md").is_file() for name in linked)
    text = (folder / "sensor.md").read_text()
    alerts = re.findall(r"- alert: (Egress(?!Detected|Fleet|Canary)\w+)", RULES[0].read_text())
    assert len(alerts) > 10
    assert [name for name in alerts if f"**{name}**" not in text] == []


needs_amtool = pytest.mark.skipif(
    AMTOOL is None, reason="amtool is not installed: apt-get install prometheus-alertmanager"
)


@needs_amtool
def test_amtool_accepts_the_configuration() -> None:
    assert AMTOOL is not None
    command = [AMTOOL, "check-config", str(ALERTMANAGER)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@needs_amtool
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=EgressDetected severity=critical rule=unsanctioned-cloud-alibaba workload=api", "page"),
        ("alertname=EgressDetected severity=warning rule=dns-tunnel workload=api", "chat"),
        ("alertname=EgressDetected severity=info rule=new-destination-provider", "mail"),
        ("alertname=EgressSensorBlind severity=critical instance=a reason=down", "page"),
        ("alertname=EgressCanaryMissing severity=critical instance=a", "page"),
        ("alertname=EgressReloadFailed severity=warning instance=a", "chat"),
        ("alertname=EgressCatalogueOld severity=info instance=a", "mail"),
        ("alertname=EgressFleetUnsanctioned severity=critical provider=alibaba", "page"),
        ("alertname=Watchdog severity=none", "watchdog"),
    ],
)
def test_who_is_told(labels: str, receiver: str) -> None:
    assert AMTOOL is not None
    routed = subprocess.run(
        [AMTOOL, "config", "routes", "test", f"--config.file={ALERTMANAGER}",
         f"--verify.receivers={receiver}", *labels.split()],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert routed.returncode == 0, routed.stdout + routed.stderr


def test_sensor_trouble_never_hides_a_detection() -> None:
    for rule in yaml.safe_load(ALERTMANAGER.read_text())["inhibit_rules"]:
        if "EgressDetected" in rule["source_matchers"][0]:
            continue
        (target,) = rule["target_matchers"]
        pattern = re.fullmatch(r'alertname=~"(.+)"', target)
        assert pattern is not None
        assert not re.fullmatch(pattern[1], "EgressDetected")
        assert not re.fullmatch(pattern[1], "EgressFleetUnsanctioned")
        assert set(rule["equal"]) == {"job", "instance"}
