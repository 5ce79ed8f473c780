"""The real Prometheus and Alertmanager with the shipped rules and routes; a webhook that notes each page."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from . import namespaces

DASHBOARDS = Path(__file__).resolve().parents[2] / "dashboards"
PROMETHEUS = "127.0.0.1:9090"
ALERTMANAGER = "127.0.0.1:9093"
HOOK = "127.0.0.1:9099"

# Appends each alert of each notification to a file: when it came, by which receiver, its status and labels.
RECEIVE = """
import http.server, json, sys, time
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        came = time.time()
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open(sys.argv[1], "a") as file:
            for alert in told["alerts"]:
                row = {"came": came, "receiver": told["receiver"], **alert}
                file.write(json.dumps(row) + "\\n")
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 9099), Hook)
print("ready")
server.serve_forever()
"""


class Programs:
    """What runs, and what came by the webhook."""

    def __init__(self, pages: Path) -> None:
        self.pages = pages

    def came(self, alert: str, status: str = "firing", **labels: str) -> list[dict[str, Any]]:
        """Give the notifications of an alert so far."""
        rows = [json.loads(line) for line in self.pages.read_text().splitlines()]
        wanted = {"alertname": alert, **labels}
        return [row for row in rows if row["status"] == status and wanted.items() <= row["labels"].items()]

    def wait(self, what: Callable[[], Any], seconds: float, text: str) -> None:
        """Wait until something is true."""
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, f"{text}: {self.pages.read_text()[-2000:]}"
            time.sleep(0.1)


def routes() -> dict[str, Any]:
    """Give the shipped routes and inhibitions, with short waits and the webhook for every receiver."""
    config: dict[str, Any] = yaml.safe_load((DASHBOARDS / "alertmanager" / "alertmanager.yml").read_text())
    del config["global"]
    for route in (config["route"], *config["route"]["routes"]):
        route.update(group_wait="1s", group_interval="1s")
    hook = {"url": f"http://{HOOK}/", "send_resolved": True}
    config["receivers"] = [{"name": one["name"], "webhook_configs": [hook]} for one in config["receivers"]]
    return config


def rules(folder: Path, *changes: tuple[str, str]) -> list[str]:
    """Copy the shipped rules; each change must be one that is there."""
    names = []
    for path in sorted((DASHBOARDS / "prometheus").glob("*.yml")):
        text = path.read_text()
        for old, new in changes if path.name == "alerts.yml" else ():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (folder / path.name).write_text(text)
        names.append(path.name)
    return names


@contextmanager
def running(
    spaces: namespaces.Namespaces, folder: Path, *changes: tuple[str, str]
) -> Iterator[Programs]:
    """Start all three in the backend's namespace; they scrape and evaluate every second."""
    pages = folder / "pages.jsonl"
    pages.touch()
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(routes()))
    (folder / "prometheus.yml").write_text(
        yaml.safe_dump({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": rules(folder, *changes),
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [ALERTMANAGER]}]}]},
            "scrape_configs": [
                {"job_name": "egress-monitor", "static_configs": [{"targets": ["127.0.0.1:9465"]}]}
            ],
        })
    )  # fmt: skip
    commands = [
        ["prometheus-alertmanager", f"--config.file={folder}/alertmanager.yml",
         f"--storage.path={folder}/alertmanager", f"--web.listen-address={ALERTMANAGER}",
         "--cluster.listen-address="],
        ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/prometheus",
         f"--web.listen-address={PROMETHEUS}", "--rules.alert.resend-delay=5s"],  # one may start too late
    ]  # fmt: skip
    hook = spaces.python(spaces.backend, RECEIVE, str(pages))
    assert hook.stdout is not None
    assert hook.stdout.readline() == "ready\n"
    processes: list[subprocess.Popen[Any]] = [hook]
    try:
        with (folder / "programs.log").open("wb") as log:
            for command in commands:
                inside = spaces.command(spaces.backend, *command)
                processes.append(subprocess.Popen(inside, stdout=log, stderr=log))
        yield Programs(pages)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.communicate(timeout=20)
