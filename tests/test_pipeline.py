"""The whole line over the incident: cuts change nothing, each alert says how it knows, sides are doubted."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from monitor import capture
from monitor.attribute.attributor import Attributor
from monitor.config import Config, load_config, parse_network
from monitor.flow_rows import DnsRows, FlowRows
from monitor.judge.alert import Alert
from monitor.replay import ReplayResult, replay
from monitor.scenario import incident
from monitor.scenario.incident import Incident

STORE = "10.20.3.30"
PUBLIC = "203.0.113.30"  # RFC 5737


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("incident")
    story = Incident()
    story.build()
    story.write(place / "incident.pcap")
    (place / "egress.yml").write_text(incident.CONFIG, encoding="utf-8")
    return place


def play(folder: Path, **options: Any) -> ReplayResult:
    config = load_config(folder / "egress.yml")
    return replay(config, [str(folder / "incident.pcap")], learn=False, state=None, **options)


def told(alerts: list[Alert]) -> list[tuple[Any, ...]]:
    return sorted(
        (alert.id, alert.rule, alert.workload, alert.provider, alert.began, alert.ended, alert.sent_bytes)
        for alert in alerts
    )


def test_the_same_alerts_whatever_the_batches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = play(folder)
    assert len(whole.alerts) > 5
    monkeypatch.setattr(capture, "REPLAY_ROWS", 1)
    monkeypatch.setattr(capture, "REPLAY_TICKS", 1)
    cut = play(folder)
    assert told(cut.alerts) == told(whole.alerts)
    assert cut.totals.sort(cut.totals.columns).equals(whole.totals.sort(whole.totals.columns))


class Events:
    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def write_events(self, events: list[dict[str, Any]]) -> None:
        self.told += events


def test_columns_told_by_number_come_to_what_whole_columns_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    results = []
    attribute = Attributor.attribute

    def whole(stage: Attributor, flows: FlowRows, dns: DnsRows) -> tuple[FlowRows, DnsRows]:
        rows, dns_rows = attribute(stage, flows, dns)
        assert {"local_id", "remote_id", "name_id", "case_id", "answer_id"} <= rows.told.keys()
        # without the numbers every row is looked at by itself
        unnumbered = [pl.lit(None, pl.UInt32).alias(name) for name in rows.told]
        assert {"client_id", "resolver_id", "question_id", "owner_id", "value_id"} <= dns_rows.told.keys()
        return FlowRows(rows.frame.with_columns(unnumbered)), DnsRows(dns_rows.frame)

    for as_whole in (False, True):
        if as_whole:
            monkeypatch.setattr(Attributor, "attribute", whole)
        events: Any = Events()
        path = tmp_path / "metrics.prom"
        result = play(folder, alerts_out=events, metrics_path=path)
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "_seconds" not in line]
        results.append((events.told, result.totals.sort(result.totals.columns).rows(), lines))
    assert len(results[0][0]) > 5
    for told_by_number, of_rows in zip(*results, strict=True):
        assert told_by_number == of_rows


def test_alerts_have_a_workload_and_a_provider(folder: Path) -> None:
    for alert in play(folder).alerts:
        assert alert.workload is not None, alert
        if alert.rule != "dns-tunnel":
            assert alert.provider is not None, alert


def test_an_alert_says_how_its_flows_were_attributed(folder: Path) -> None:
    alert = next(alert for alert in play(folder).alerts if alert.rule == "unsanctioned-cloud-alibaba")
    steps = {step["what"]: step for step in alert.flows[0]["attribution"]}
    assert steps["provider"]["answer"] == "alibaba"
    assert "AS45102" in steps["network"]["why"]
    assert "aliyuncs.com" in steps["asked for"]["answer"]


@pytest.fixture(scope="module")
def public(folder: Path) -> str:
    """The same capture, but the data store has a public address, as many that leaked had."""
    private, public = (bytes(map(int, text.split("."))) for text in (STORE, PUBLIC))
    path = folder / "public.pcap"
    path.write_bytes((folder / "incident.pcap").read_bytes().replace(private, public))
    return str(path)


def test_a_data_store_with_a_public_address_is_not_nothing_found(public: str) -> None:
    found = replay(Config(), [public], learn=False, state=None)
    stores = [alert for alert in found.alerts if alert.rule.startswith("exposed-data-store")]
    assert not stores, "two strangers talk, as far as the defaults can tell"
    assert found.transit_hint is not None
    assert f"--local {PUBLIC}" in found.transit_hint
    config = Config().with_local([parse_network(PUBLIC)])
    found = replay(config, [public], learn=False, state=None)
    stores = [alert for alert in found.alerts if alert.rule == "exposed-data-store"]
    assert stores
    assert {alert.workload for alert in stores} == {PUBLIC}
    assert found.transit_hint is None
