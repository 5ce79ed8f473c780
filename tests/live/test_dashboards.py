"""Every query of every panel, asked of a real Prometheus that scraped the demo: no error, none empty."""

import json
import math
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.scenario import incident

from . import played

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None or played.PROMETHEUS is None,
    reason="needs root, iproute2 and prometheus",
)

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = sorted((ROOT / "dashboards" / "grafana").glob("*.json"))
RANGE = 60  # seconds
PROVIDERS = {  # who runs the addresses of the story, by the providers' published ranges
    incident.S3_ADDRESS: "aws", incident.OSS_ADDRESS: "alibaba", incident.SCANNER: "digitalocean",
    incident.TAKER: "hetzner", incident.CRAWLER: "google",
}  # fmt: skip
EVERYTHING = {"workload": ".+", "provider": ".+"}
FILLED = {  # by dashboard
    "investigation": {"workload": "search-copy", "provider": "hetzner"},
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[played.Played]:
    with played.played("boards", tmp_path_factory.mktemp("boards")) as one:
        yield one


def filled(text: str, dashboard: str) -> str:
    """Put in the variables, as Grafana does; intervals as for a scrape a second."""
    values = EVERYTHING | FILLED.get(dashboard, {}) | {
        "job": played.JOB, "instance": played.SENSOR,
        "__range": f"{RANGE}s", "__rate_interval": "5s", "__interval": "1s",
    }  # fmt: skip
    for name in sorted(values, key=len, reverse=True):
        text = re.sub(rf"\$({name}\b|\{{{name}\}})", values[name], text)
    assert "$" not in text, text
    return text


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel.get("targets")]


def question(target: dict[str, Any], dashboard: str, now: float) -> played.Question:
    expr = filled(target["expr"], dashboard)
    if target.get("instant"):
        return "query", {"query": expr, "time": f"{now:.3f}"}
    times = {"start": f"{now - RANGE:.3f}", "end": f"{now:.3f}", "step": "1"}
    return "query_range", {"query": expr, **times}


def has_numbers(result: list[dict[str, Any]]) -> bool:
    numbers = [one["value"] for one in result if "value" in one]
    numbers += [value for one in result for value in one.get("values", [])]
    return any(math.isfinite(float(number)) for _, number in numbers)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_no_panel_is_without_data_on_the_demo(path: Path, demo: played.Played) -> None:
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    now = time.time()
    asked = [
        (panel, target, question(target, path.stem, now))
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]
    assert len(asked) > 10
    answers = demo.ask([one for _, _, one in asked])
    wrong = [
        (panel["title"], query["query"], answer.get("error", "empty"))
        for (panel, _, (_, query)), answer in zip(asked, answers, strict=True)
        if answer["status"] != "success" or not has_numbers(answer["data"]["result"])
    ]
    assert wrong == []
    keep(path.stem, now, [(panel["id"], target["refId"]) for panel, target, _ in asked], answers)


def keep(
    name: str, now: float, places: list[tuple[int, str]], answers: list[dict[str, Any]]
) -> None:
    """Keep the answers for the pictures (tools/dashboards/picture), where a folder is given."""
    folder = os.environ.get("EGRESS_DASHBOARD_DATA")
    if folder:
        found = [
            {"panel": panel, "refId": letter, "data": answer["data"]}
            for (panel, letter), answer in zip(places, answers, strict=True)
        ]
        Path(folder, f"{name}.data.json").write_text(
            json.dumps({"from": now - RANGE, "to": now, "answers": found}), encoding="utf-8"
        )


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_variable_has_values(path: Path, demo: played.Played) -> None:
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    asked: list[played.Question] = []
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert found, variable["query"]
            asked.append((f"label/{found[2]}/values", {"match[]": filled(found[1], path.stem)}))
    answers = demo.ask(asked)
    assert len(answers) >= 2
    assert [query for query, answer in zip(asked, answers, strict=True) if not answer.get("data")] == []


def shown(demo: played.Played) -> set[str]:
    """Give the names of all families and series; some have no series before they have something to tell."""
    names = set()
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", demo.exposition(), re.MULTILINE):
        parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ()
        names |= {name, *(name + part for part in parts)}
    assert "process_cpu_seconds_total" in names
    return names


def test_every_metric_that_is_named_anywhere_exists(demo: played.Played) -> None:
    names = shown(demo)
    rules = [*(ROOT / "dashboards" / "prometheus").glob("*.yml")]
    named: dict[str, set[str]] = {}
    for page in [*DASHBOARDS, *rules]:
        for name in re.findall(r"\b(?:egress|process)_[a-z_]+\b", _expressions(page)):
            named.setdefault(name, set()).add(page.name)
    assert len(named) > 40
    missing = {name: sorted(pages) for name, pages in named.items() if name not in names}
    assert missing == {}


def _expressions(path: Path) -> str:
    """Give the queries of a dashboard, or the whole of a rule file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".json":
        return re.sub(r"(?m)#.*$|record: .*$", "", text)
    return "\n".join(target["expr"] for panel in panels(json.loads(text)) for target in panel["targets"])


def test_documented_metrics_exist(demo: played.Played) -> None:
    documented = set(re.findall(r"^\| `(egress_\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.M))
    assert documented - shown(demo) == set()


def test_the_destinations_are_what_the_story_sent(demo: played.Played) -> None:
    (page,) = demo.fetch([(f"{played.SENSOR}/api/v1/destinations", {})])
    found: Counter[tuple[str, str]] = Counter()
    for one in json.loads(page)["destinations"]:
        found[one["workload"], one["provider"]] += one["sent_payload"]
    workloads = {address: name for name, (address,) in yaml.safe_load(incident.CONFIG)["workloads"].items()}
    story = incident.Incident()
    story.build()
    wanted: Counter[tuple[str, str]] = Counter()
    for told in story.told:
        for own, other in ((told.client, told.server), (told.server, told.client)):
            if own.address in workloads and other.address in PROVIDERS:
                wanted[workloads[own.address], PROVIDERS[other.address]] += own.payload
    assert len(wanted) == 5
    assert found == wanted


def test_the_page_says_that_it_saw_everything(demo: played.Played) -> None:
    (page,) = demo.fetch([(f"{played.SENSOR}/api/v1/coverage", {})])
    coverage = json.loads(page)
    assert (coverage["ready"], coverage["blind"], coverage["undecoded"]["frames"]) == (True, False, 0)
    (interface,) = coverage["interfaces"]
    assert interface["coverage_ratio"] == pytest.approx(1, abs=0.05)
    assert set(coverage["laws_broken"].values()) == {0}
    assert time.time() - coverage["canary"]["last_seen"]["watched"] < 60


def test_the_links_of_the_alert_table_lead_to_the_alert(demo: played.Played) -> None:
    (answer,) = demo.ask([("query", {"query": "egress_alert_active == 1"})])
    for series in answer["data"]["result"]:
        labels = {name: series["metric"][name] for name in ("rule", "severity", "workload", "provider")}
        (page,) = demo.fetch([(f"{played.SENSOR}/api/v1/alerts", labels)])
        assert json.loads(page)["total"] > 0, labels
