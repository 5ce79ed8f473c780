"""The whole exposition: its text, promtool's opinion of it, and the documentation of it."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.canary.watch import CanaryState
from monitor.errors import InputError
from monitor.flow_batch import Counters, EvidenceCounters
from monitor.judge.engine import Counters as JudgeCounters
from monitor.publish.alertmanager import PushCounts
from monitor.publish.courier import CourierCounts
from monitor.publish.metrics_file import write_metrics
from monitor.publish.outlets import OutletCounts

DOCS = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
PROMTOOL = shutil.which("promtool")

COUNTERS = Counters(
    frames={"eth0": 1001},
    wire_bytes={"eth0": 50_000},
    dropped_frames={("eth0", "ring"): 3},
    superframes={"eth0": 8},
    repeated_headers={("eth0", "told"): 0, ("eth0", "estimated"): 660},
    interface_bytes={"eth0": 51_000},
    interface_resets={"eth0": 1},
    interface_up={"eth0": True},
    backlog_dropped={"0": 4},
    given_up={"dns_row": 2},
    ignored_answers={"unmatched": 6},
    identity={"found": 7, "missed": 1},
    encrypted_dns={"api": 5, "10.0.0.7": 2, "fd00::7": 3},
    undecoded_frames={"arp": 5, "truncated": 0},
    undecoded_bytes={"arp": 210, "truncated": 0},
    faults={"bad_checksum": 1},
    overhead_bytes=14_000,
    overclaimed_bytes=99,
    scope_frames={"egress": 900, "internal": 96, "transit": 0},
    scope_sent_bytes={"egress": 30_000, "internal": 2_000},
    scope_received_bytes={"egress": 4_000, "internal": 0, "transit": 0},
    late_frames=2,
    clamped_times=1,
    flows_open=12,
    flows_evicted={"full": 4},
    merged_ticks=6,
    laws_broken={"bytes": 7},
    worker_cpu_seconds={"0": 1.5},
)


class Told:
    """Outlets that have told much."""

    def take(self, *_: Any) -> None:
        pass

    def counts(self) -> OutletCounts:
        return OutletCounts(
            {"1-webhook": CourierCounts(delivered=4, dropped=1, retried=3, waiting=2)},
            {"1": PushCounts(delivered=6, failed=5)},
        )


def publish_everything(given: Any) -> Any:
    """Publish one batch in which every family has a value."""
    publisher = given.publisher(live=True, hold_seconds=60, outlets=Told())
    rule = given.rules[0].id
    judged = JudgeCounters({rule: 55}, {rule: 2}, {rule: True}, "disk full", lists={"feed": 3})
    alert = given.alert(began=given.START + given.SECOND, sent_bytes=777)
    given.publish(
        publisher,
        {"bytes_out": 100, "bytes_in": 20},
        {"bytes_out": 9, "provider": "alibaba", "country": "SG", "evidence": "prefix", "flow_id": 2},
        alerts=[alert],
        events=[given.event("begun", alert, given.START + given.SECOND)],
        counters=replace(COUNTERS, interface_bytes={"eth0": 31_000}, wire_bytes={"eth0": 45_000}),
        judge_counters=judged,
        stage_seconds={"attribute": 0.0025, "judge": 0.3, "publish": 9.0},
        canary=CanaryState({"eth0": 1_764_000_007.25, "web-1": 0.0}, sent=9, failed=2),
    )
    publisher.reloaded("rules", True, 1_764_000_000.5)
    publisher.reloaded("rules", False, 1_764_000_099.0)
    given.now += 30
    carried = {"eth0": 41_000}
    counters = replace(COUNTERS, interface_bytes=carried)
    given.publish(publisher, alerts=[alert], counters=counters, judge_counters=judged)
    given.now += 30
    clock = given.START + 5 * given.SECOND
    given.publish(publisher, alerts=[alert], counters=COUNTERS, clock=clock, judge_counters=judged)
    kept = EvidenceCounters(
        kept_frames=90, shed_frames={"slow": 3}, bytes={"ring": 4096}, capsules=8, lost={"rows": 1},
        removed=2, oldest=1_764_000_001 * given.SECOND,
    )  # fmt: skip
    publisher.kept_evidence(kept)
    return publisher


def golden(given: Any) -> set[str]:
    """Say what must be shown, from the numbers above."""
    lines = set()

    def line(name: str, number: float, **labels: str) -> None:
        text = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
        lines.add(f"{name}{{{text}}} {number}" if text else f"{name} {number}")

    for workload, provider, country, sent, received in (
        ("api", "aws", "US", 100.0, 20.0),
        ("api", "alibaba", "SG", 9.0, 0.0),
        ("other", "other", "other", 0.0, 0.0),
    ):
        labels = {"workload": workload, "provider": provider, "country": country}
        line("egress_sent_bytes_total", sent, **labels)
        line("egress_received_bytes_total", received, **labels)
        del labels["country"]
        opened = float(workload == "api")
        for initiator, number in (("local", opened), ("remote", 0.0), ("unknown", 0.0)):
            line("egress_connections_total", number, initiator=initiator, **labels)
    evidences = "dns dns_shared sni quic_sni dtls_sni http_host http_connect socks prefix asn none"
    for evidence in evidences.split():
        number = {"dns": 100.0 + 20.0, "prefix": 9.0}.get(evidence, 0.0)
        line("egress_attributed_bytes_total", number, evidence=evidence)

    began = (given.START + given.SECOND) / 1e9
    ours = {"rule": "unsanctioned-cloud-alibaba", "severity": "critical"}
    quiet = {"rule": "dns-tunnel", "severity": "warning"}
    for rule, workload, provider, open_, sent, started in (
        (ours, "api", "alibaba", 1.0, 777.0, began),
        (ours, "other", "other", 0.0, 0.0, 0.0),
        (quiet, "other", "other", 0.0, 0.0, 0.0),
    ):
        labels = {**rule, "workload": workload, "provider": provider}
        line("egress_alert_active", open_, **labels)
        line("egress_alert_open", open_, **labels)
        line("egress_alert_sent_bytes", sent, **labels)
        line("egress_alert_started_timestamp_seconds", started, **labels)
    for rule, fired, last in ((ours, 1.0, began), (quiet, 0.0, 0.0)):
        line("egress_alerts_fired_total", fired, **rule)
        line("egress_alert_last_fired_timestamp_seconds", last, **rule)

    for rule, suppressed, overflow, learning in ((ours, 55.0, 2.0, 1.0), (quiet, 0.0, 0.0, 0.0)):
        line("egress_exception_suppressed_bytes_total", suppressed, rule=rule["rule"])
        line("egress_rule_group_overflow_total", overflow, rule=rule["rule"])
        line("egress_rule_learning", learning, rule=rule["rule"])

    line("egress_state_save_successful", 0.0)
    line("egress_capture_one_way", 0.0)
    line("egress_list_entries", 3.0, list="feed")
    for scope, frames, sent, received in (
        ("egress", 900.0, 30_000.0, 4_000.0),
        ("internal", 96.0, 2_000.0, 0.0),
        ("transit", 0.0, 0.0, 0.0),
    ):
        line("egress_flow_frames_total", frames, scope=scope)
        line("egress_flow_sent_bytes_total", sent, scope=scope)
        line("egress_flow_received_bytes_total", received, scope=scope)
    line("egress_source_frames_total", 1001.0, interface="eth0")
    line("egress_source_wire_bytes_total", 50_000.0, interface="eth0")
    line("egress_source_dropped_frames_total", 3.0, interface="eth0", reason="ring")
    line("egress_source_interface_bytes_total", 51_000.0, interface="eth0")
    line("egress_source_superframes_total", 8.0, interface="eth0")
    for basis, number in (("told", 0.0), ("estimated", 660.0)):
        line("egress_source_repeated_header_bytes_total", number, interface="eth0", basis=basis)
    line("egress_source_interface_resets_total", 1.0, interface="eth0")
    line("egress_source_interface_up", 1.0, interface="eth0")
    # 5000 bytes were seen in the time in which the interface carried 10 000, and no frame came for a minute
    line("egress_source_coverage_ratio", 0.5, interface="eth0")
    for reason in ("down", "silent", "missed", "dropped", "one_way"):
        line("egress_sensor_blind", float(reason == "silent"), interface="eth0", reason=reason)
    line("egress_canary_last_seen_timestamp_seconds", 0.0)
    for who, when in (("eth0", 1_764_000_007.25), ("web-1", 0.0)):
        line("egress_canary_from_last_seen_timestamp_seconds", when, **{"from": who})
    line("egress_canary_sent_total", 9.0)
    line("egress_canary_failed_total", 2.0)
    line("egress_source_backlog_dropped_total", 4.0, cpu="0")
    line("egress_evidence_kept_frames_total", 90.0)
    line("egress_evidence_shed_frames_total", 3.0, reason="slow")
    line("egress_evidence_bytes", 4096.0, what="ring")
    line("egress_evidence_oldest_timestamp_seconds", 1_764_000_001.0)
    line("egress_evidence_capsules_total", 8.0)
    line("egress_evidence_lost_total", 1.0, what="rows")
    line("egress_evidence_removed_capsules_total", 2.0)
    line("egress_given_up_total", 2.0, what="dns_row")
    line("egress_given_up_total", 0.0, what="destination")
    line("egress_attribute_ignored_answers_total", 6.0, reason="unmatched")
    line("egress_identity_connections_total", 7.0, outcome="found")
    line("egress_identity_connections_total", 1.0, outcome="missed")
    line("egress_attribute_encrypted_dns_bytes_total", 5.0, workload="api")
    line("egress_attribute_encrypted_dns_bytes_total", 5.0, workload="unnamed")
    for reason, frames, number in (("arp", 5.0, 210.0), ("truncated", 0.0, 0.0)):
        line("egress_decode_undecoded_frames_total", frames, reason=reason)
        line("egress_decode_undecoded_bytes_total", number, reason=reason)
    line("egress_decode_overhead_bytes_total", 14_000.0)
    line("egress_decode_overclaimed_bytes_total", 99.0)
    line("egress_decode_faults_total", 1.0, kind="bad_checksum")
    line("egress_flow_late_frames_total", 2.0)
    line("egress_flow_clamped_times_total", 1.0)
    line("egress_flow_open", 12.0)
    line("egress_flow_evicted_total", 4.0, reason="full")
    line("egress_flow_merged_ticks_total", 6.0)
    for law, number in (("frames", 0.0), ("bytes", 7.0), ("kernel", 0.0)):
        line("egress_law_broken_total", number, law=law)
    line("egress_worker_cpu_seconds_total", 1.5, worker="0")

    stage_bounds = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
    for stage, seconds in (("attribute", 0.0025), ("judge", 0.3), ("publish", 9.0)):
        for bound in stage_bounds:
            line("egress_stage_seconds_bucket", float(seconds <= bound), stage=stage, le=str(bound))
        line("egress_stage_seconds_bucket", 1.0, stage=stage, le="+Inf")
        line("egress_stage_seconds_count", 1.0, stage=stage)
        line("egress_stage_seconds_sum", seconds, stage=stage)
    delay = 2.0 - 1.0  # the test's wall clock less the packet's time
    for bound in (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0):
        line("egress_detection_delay_seconds_bucket", float(delay <= bound), le=str(bound))
    line("egress_detection_delay_seconds_bucket", 1.0, le="+Inf")
    line("egress_detection_delay_seconds_count", 1.0)
    line("egress_detection_delay_seconds_sum", delay)

    told = {"delivered_total": 4.0, "dropped_total": 1.0, "retried_total": 3.0, "waiting": 2.0}
    for name, number in told.items():
        line(f"egress_events_{name}", number, sink="1-webhook")
    line("egress_push_delivered_total", 6.0, alertmanager="1")
    line("egress_push_failed_total", 5.0, alertmanager="1")
    line("egress_event_clock_timestamp_seconds", given.START / 1e9 + 5)
    line("egress_reload_successful", 0.0, what="rules")
    line("egress_reload_success_timestamp_seconds", 1_764_000_000.5, what="rules")
    line("egress_catalogue_built_timestamp_seconds", 1_750_000_000.0)
    line("egress_build_info", 1.0, version="1.2.3", catalogue="2026.1")
    return {_plain(text) for text in lines}


def _plain(text: str) -> str:
    name, _, number = text.rpartition(" ")
    return f"{name} {float(number):.17g}"


def test_the_exposition_is_what_the_numbers_say(given: Any) -> None:
    text = publish_everything(given).exposition().decode()
    found = [_plain(line) for line in text.splitlines() if not line.startswith("#")]
    assert len(found) == len(set(found)), "a series stands twice"
    assert set(found) == golden(given)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed: apt-get install prometheus")
def test_promtool_finds_nothing_wrong(given: Any) -> None:
    assert PROMTOOL is not None
    for publisher in (publish_everything(given), given.publisher()):
        checked = subprocess.run(
            [PROMTOOL, "check", "metrics"], input=publisher.exposition(), capture_output=True, check=False
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_the_documentation_names_every_metric_with_its_type_and_labels(given: Any) -> None:
    families = text_string_to_metric_families(publish_everything(given).exposition().decode())
    shown = {}
    for family in families:
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        kind = "gauge" if family.name == "egress_build_info" else family.type
        if family.name == "egress_build_info":
            labels = {"version", "catalogue"}
        name = family.name + ("_total" if family.type == "counter" else "")
        shown[name] = (kind, frozenset(labels))
    documented = {}
    for row in re.finditer(r"^\| `(egress_\w+)` \| (\w+) \| ([^|]*)\|", DOCS.read_text(), re.MULTILINE):
        documented[row[1]] = (row[2], frozenset(re.findall(r"`(\w+)`", row[3])))
    assert documented == shown


def test_a_hostile_label_value_stays_one_label_value(given: Any) -> None:
    hostile = 'a"b\\c\nd{}#'  # nothing lets this through; the exposition holds all the same
    publisher = given.publisher(live=False)
    given.publish(publisher, {"workload": hostile, "bytes_out": 5}, counters=Counters(frames={hostile: 7}))
    assert given.samples(publisher, "egress_source_frames_total") == {(hostile,): 7}
    assert given.samples(publisher, "egress_sent_bytes_total")["US", "aws", "unnamed"] == 5


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "egress.prom"
    write_metrics(path, b"first\n")
    write_metrics(path, b"second\n")
    assert path.read_bytes() == b"second\n"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="nowhere/egress.prom: No such file or directory"):
        write_metrics(tmp_path / "nowhere" / "egress.prom", b"")


def test_what_was_reloaded_is_a_closed_set(given: Any) -> None:
    with pytest.raises(ValueError, match="'weather' is not one of"):
        given.publisher().reloaded("weather", True, 1.0)
