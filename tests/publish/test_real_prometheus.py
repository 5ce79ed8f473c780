"""A real Prometheus scrapes the real server: it takes every format, and no byte is lost in increase()."""

import itertools
import random
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

from monitor.flow_batch import Counters
from monitor.publish.http import HttpServer

from .serving import Serve

PROMETHEUS = shutil.which("prometheus")
HOLD = 3.0  # three scrapes

pytestmark = pytest.mark.skipif(
    PROMETHEUS is None, reason="prometheus is not installed: apt-get install prometheus"
)

Query = Callable[[str], Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[..., Query]]:
    """Start it over one target, a job for each of `ways`: what the job's configuration has besides."""
    running: list[subprocess.Popen[bytes]] = []

    def start(target: str, **ways: dict[str, Any]) -> Query:
        assert PROMETHEUS is not None
        jobs = ways or {"egress-monitor": {}}
        targets = {"static_configs": [{"targets": [target]}]}
        port = free_port()
        config = tmp_path / "prometheus.yml"
        config.write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": "1s"},
                    "scrape_configs": [{"job_name": job, **targets, **way} for job, way in jobs.items()],
                }
            )
        )
        with (tmp_path / "prometheus.log").open("wb") as log:
            running.append(
                subprocess.Popen(
                    [
                        PROMETHEUS,
                        f"--config.file={config}",
                        f"--storage.tsdb.path={tmp_path / 'data'}",
                        f"--web.listen-address=127.0.0.1:{port}",
                    ],
                    stdout=log,
                    stderr=log,
                )
            )

        def query(text: str) -> Any:
            try:
                answer = httpx.get(
                    f"http://127.0.0.1:{port}/api/v1/query", params={"query": text}, timeout=5
                ).json()
            except (httpx.TransportError, ValueError):
                return []  # it is not up yet
            assert answer["status"] == "success", answer
            return answer["data"]["result"]

        return query

    yield start
    for process in running:
        process.terminate()
        process.wait(20)


def rise(values: list[tuple[float, str]]) -> float:
    """Add up a counter's rises, as increase() does before it extrapolates."""
    numbers = [float(value) for _, value in values]
    return sum(after - before if after >= before else after for before, after in itertools.pairwise(numbers))


def test_no_byte_is_lost_or_made_while_keys_compete_for_rows(
    given: Any, prometheus: Callable[..., Query]
) -> None:
    publisher = given.publisher(budget=100, hold_seconds=HOLD)
    server = HttpServer(publisher, publisher.alerts, publisher.alert, lambda: (True, "ready"), "127.0.0.1:0")
    server.start()
    try:
        query = prometheus(server.address)
        wait_for(lambda: bool(query('egress_sent_bytes_total{workload="other"}')))
        chance = random.Random(7)
        sent = 0
        alert = given.alert(workload="w77", provider="alibaba")

        def step(rows: list[dict[str, Any]]) -> None:
            given.now = time.monotonic()
            counters = Counters(scope_sent_bytes={"egress": sent})
            given.publish(publisher, *rows, alerts=[alert], counters=counters)
            time.sleep(0.1)

        traffic_ends = time.monotonic() + 6
        while time.monotonic() < traffic_ends:
            rows = [
                {
                    "workload": f"w{chance.randrange(1000)}",
                    "provider": "alibaba",
                    "bytes_out": 10 ** chance.randrange(7),
                }
                for _ in range(200)
            ]
            sent += sum(row["bytes_out"] for row in rows)
            step(rows)
        shown_by = time.monotonic() + HOLD + 3  # what is held comes, and a scrape comes after it
        while time.monotonic() < shown_by:
            step([])

        rows = query("egress_sent_bytes_total[5m]")
        # a tenth of the rows is kept for open alerts
        assert 85 < len(rows) <= 100
        assert {"w77"} <= {row["metric"]["workload"] for row in rows}, "an open alert keeps a row"
        assert sum(rise(row["values"]) for row in rows) == sent
        (scope,) = query('egress_flow_sent_bytes_total{scope="egress"}[5m]')
        assert rise(scope["values"]) == sent
        # increase() itself also extrapolates each series by up to half a scrape interval
        (ratio,) = query(
            "sum(increase(egress_sent_bytes_total[5m]))"
            ' / sum(increase(egress_flow_sent_bytes_total{scope="egress"}[5m]))'
        )
        assert float(ratio["value"][1]) == pytest.approx(1, abs=0.1)
        assert query("max by (rule, severity, workload, provider) (egress_alert_active == 1)")
    finally:
        server.stop()


def test_only_a_certificate_of_ours_gets_the_metrics(
    given: Any, serve: Serve, prometheus: Callable[..., Query], certificates: Path, tmp_path: Path
) -> None:
    """Mutual TLS as docs/http.md shows it: up with a certificate of ours, down without or with another."""
    web_config = tmp_path / "web.yml"
    web_config.write_text(
        f"tls_server_config:\n  cert_file: {certificates}/server.pem\n  key_file: {certificates}/server.key\n"
        f"  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: {certificates}/authority.pem\n"
    )
    publisher = given.publisher(live=False)
    given.publish(publisher, {"bytes_out": 5})

    def by(**files: str) -> dict[str, Any]:
        whole = {key: f"{certificates}/{name}" for key, name in files.items()}
        return {"scheme": "https", "tls_config": whole}

    query = prometheus(
        serve(web_config=web_config, publisher=publisher).address,
        ours=by(ca_file="authority.pem", cert_file="client.pem", key_file="client.key"),
        none=by(ca_file="authority.pem"),
        stranger=by(ca_file="authority.pem", cert_file="intruder.pem", key_file="intruder.key"),
        doubtful=by(ca_file="stranger.pem", cert_file="client.pem", key_file="client.key"),
        plain={},
    )

    def up() -> dict[str, str]:
        return {row["metric"]["job"]: row["value"][1] for row in query("up")}

    wait_for(lambda: len(up()) == 5)
    wait_for(lambda: up()["ours"] == "1")
    assert up() == {"ours": "1", "none": "0", "stranger": "0", "doubtful": "0", "plain": "0"}
    (row,) = query("egress_sent_bytes_total > 0")
    assert (row["metric"]["job"], row["value"][1]) == ("ours", "5")
