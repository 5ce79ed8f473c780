"""The direct push and the shipped routes against a real Alertmanager: what is open, ended, inhibited."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from monitor.config_delivery import AlertmanagerConfig
from monitor.publish.alert_rows import AlertFacts, AlertKey
from monitor.publish.alertmanager import AlertmanagerPush

ALERTMANAGER = shutil.which("prometheus-alertmanager")
SHIPPED = Path(__file__).resolve().parents[2] / "dashboards" / "alertmanager" / "alertmanager.yml"

pytestmark = pytest.mark.skipif(
    ALERTMANAGER is None,
    reason="prometheus-alertmanager is not installed: apt-get install prometheus-alertmanager",
)


def until(what: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
    return found


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Start one with the shipped routes and inhibitions, and receivers that do nothing."""
    config = yaml.safe_load(SHIPPED.read_text())
    del config["global"]
    config["receivers"] = [{"name": receiver["name"]} for receiver in config["receivers"]]
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert ALERTMANAGER is not None
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [ALERTMANAGER, f"--config.file={tmp_path}/alertmanager.yml", f"--storage.path={tmp_path}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="],
            stdout=log, stderr=log,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _is_up(address))
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _is_up(address: str) -> bool:
    try:
        return httpx.get(f"{address}/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def alerts(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{url}/api/v2/alerts").json()
    return found


def test_what_is_pushed_is_open_and_ends(url: str) -> None:
    push = AlertmanagerPush([AlertmanagerConfig(url=url)], external_url="https://e.example")
    key = AlertKey("unsanctioned-cloud-alibaba", "critical", "api", "alibaba")
    started = (int(time.time()) - 30) * 10**9
    push.start()
    try:
        push.update([(key, AlertFacts(1, 5 * 2**20, started))])
        (alert,) = until(lambda: alerts(url))
        assert alert["status"]["state"] == "active"
        assert alert["receivers"] == [{"name": "page"}]
        assert alert["labels"]["workload"] == "api"
        assert alert["annotations"]["description"] == "5.0 MiB sent in this alert so far, 1 open."
        assert alert["startsAt"].startswith(time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(started / 10**9)))
        push.update([(key, AlertFacts(0, 5 * 2**20, started))])
        until(lambda: not alerts(url))
        # begun again under the same labels, it is open again
        push.update([(key, AlertFacts(1, 6 * 2**20, started))])
        until(lambda: alerts(url))
    finally:
        push.stop()
    assert push.counts()["1"].failed == 0


def test_a_clock_that_was_set_back_hides_no_alert(url: str) -> None:
    """Event time goes on from what it said at the start; Alertmanager refuses an end before the start."""
    push = AlertmanagerPush([AlertmanagerConfig(url=url)], external_url=None)
    key = AlertKey("unsanctioned-cloud-alibaba", "critical", "api", "alibaba")
    ahead = (int(time.time()) + 3600) * 10**9
    push.start()
    try:
        push.update([(key, AlertFacts(1, 5 * 2**20, ahead))])
        (alert,) = until(lambda: alerts(url))
        assert alert["status"]["state"] == "active"
        push.update([(key, AlertFacts(0, 5 * 2**20, ahead))])
        until(lambda: not alerts(url))
    finally:
        push.stop()
    assert push.counts()["1"].failed == 0


def _post(url: str, *labels: dict[str, str]) -> None:
    answer = httpx.post(f"{url}/api/v2/alerts", json=[{"labels": one, "annotations": {}} for one in labels])
    assert answer.status_code == 200


def test_trouble_of_a_sensor_hides_its_own_trouble_and_no_detection(url: str) -> None:
    sensor = {"job": "egress-monitor", "instance": "a", "severity": "critical"}
    detected = {"alertname": "EgressDetected", "rule": "r", "workload": "api", "provider": "alibaba"}
    _post(
        url,
        sensor | {"alertname": "EgressSensorDown"},
        sensor | {"alertname": "EgressSensorBlind", "interface": "eth0", "reason": "down"},
        sensor | {"alertname": "EgressCanaryMissing"},
        sensor | {"alertname": "EgressCanaryMissing", "instance": "b"},
        # even where a detection carries the labels of the sensor
        sensor | detected,
        detected | {"severity": "critical"},
        {"alertname": "EgressFleetUnsanctioned", "severity": "critical", "provider": "mega"},
    )
    until(lambda: len(alerts(url)) == 7 and any(one["status"]["inhibitedBy"] for one in alerts(url)))
    hidden = {
        (one["labels"]["alertname"], one["labels"].get("instance"))
        for one in alerts(url)
        if one["status"]["state"] == "suppressed"
    }
    assert hidden == {("EgressSensorBlind", "a"), ("EgressCanaryMissing", "a")}
