"""The committed dashboards: what the generator gives, whole, and as Grafana's own types take them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from jsonschema import Draft202012Validator

from tools.dashboards.__main__ import texts

FOLDER = Path(__file__).resolve().parents[2] / "dashboards" / "grafana"
PATHS = sorted(FOLDER.glob("*.json"))
ids = [path.stem for path in PATHS]

# What Grafana's import asks of a file; kinds/dashboard/dashboard_kind.cue of Grafana 11.6 says more of each.
PLACE = {
    "type": "object",
    "required": ["x", "y", "w", "h"],
    "properties": {
        "x": {"type": "integer", "minimum": 0, "maximum": 23},
        "y": {"type": "integer", "minimum": 0},
        "w": {"type": "integer", "minimum": 1, "maximum": 24},
        "h": {"type": "integer", "minimum": 1},
    },
}
SCHEMA = {
    "type": "object",
    "required": ["uid", "title", "description", "schemaVersion", "panels", "templating", "time", "links"],
    "not": {"required": ["id"]},  # a number of the Grafana that it came from
    "properties": {
        "uid": {"type": "string", "pattern": "^[a-z-]{1,40}$"},
        "schemaVersion": {"type": "integer", "minimum": 36},
        "panels": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "type", "title", "gridPos"],
                "properties": {"id": {"type": "integer", "minimum": 1}, "gridPos": PLACE},
                "if": {"properties": {"type": {"const": "row"}}},
                "else": {
                    "required": ["description"],
                    "properties": {"description": {"type": "string", "minLength": 30}},
                    "if": {"properties": {"type": {"const": "text"}}},
                    "else": {
                        "required": ["targets", "fieldConfig", "datasource"],
                        "properties": {
                            "targets": {
                                "minItems": 1,
                                "items": {"required": ["expr", "refId", "datasource"]},
                            }
                        },
                    },
                },
            },
        },
    },
}


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_the_committed_files_are_what_the_generator_gives() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in PATHS} == texts(), "make dashboards"


@pytest.mark.parametrize("path", PATHS, ids=ids)
def test_the_types_of_grafana_take_it_and_give_it_back(path: Path) -> None:
    dashboard = load(path)
    again = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))
    assert again == dashboard


@pytest.mark.parametrize("path", PATHS, ids=ids)
def test_it_is_whole(path: Path) -> None:
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(load(path))] == []


@pytest.mark.parametrize("path", PATHS, ids=ids)
def test_no_two_panels_share_a_place_or_a_number(path: Path) -> None:
    taken: dict[tuple[int, int], str] = {}
    numbers = set()
    for panel in load(path)["panels"]:
        numbers.add(panel["id"])
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    assert len(numbers) == len(load(path)["panels"])


@pytest.mark.parametrize("path", PATHS, ids=ids)
def test_variables_are_used_and_used_ones_are_there(path: Path) -> None:
    dashboard = load(path)
    text = json.dumps({name: dashboard[name] for name in ("panels", "links", "templating")})
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__data", "__url_time_range"}
    there = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert {name for name in used if not name.startswith("__")} == there
    assert {"datasource", "job", "instance"} <= there


@pytest.mark.parametrize("path", PATHS, ids=ids)
def test_units_are_set_and_every_query_is_limited_to_the_chosen_sensors(path: Path) -> None:
    for panel in load(path)["panels"]:
        if panel["type"] in ("row", "text"):
            continue
        config = panel["fieldConfig"]
        told = [one["id"] for override in config["overrides"] for one in override["properties"]]
        assert config["defaults"].get("unit") or "unit" in told, panel["title"]
        for target in panel["targets"]:
            for selector in re.findall(r"\b(?:egress|process)_\w+|\bup\b", target["expr"]):
                assert f'{selector}{{job=~"$job",instance=~"$instance"' in target["expr"]


def test_links_between_dashboards_lead_to_one_that_is_there() -> None:
    there = {load(path)["uid"] for path in PATHS}
    assert there == {"egress-overview", "egress-investigation", "egress-sensor"}
    for path in PATHS:
        assert set(re.findall(r"/d/([\w-]+)", path.read_text(encoding="utf-8"))) <= there


def test_provisioning_files() -> None:
    source = yaml.safe_load((FOLDER / "provisioning/datasources/egress-monitor.yml").read_text())
    provider = yaml.safe_load((FOLDER / "provisioning/dashboards/egress-monitor.yml").read_text())
    assert source["apiVersion"] == provider["apiVersion"] == 1
    assert [one["type"] for one in source["datasources"]] == ["prometheus"]
    assert [one["type"] for one in provider["providers"]] == ["file"]
