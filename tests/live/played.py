"""The demo's incident, played over a veth pair to a real daemon that a real Prometheus scrapes."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monitor.scenario import incident

from . import namespaces

PROMETHEUS = shutil.which("prometheus")
SENSOR = "127.0.0.1:9465"
JOB = "egress-monitor"
PLAYED_IN = 15  # seconds for 25 days

# Sends the frames of a pcap file that scapy wrote (native byte order, microseconds) in so many seconds.
_PLAY = """
import socket, struct, sys, time
data = open(sys.argv[1], "rb").read()
frames, place = [], 24
while place < len(data):
    size = struct.unpack_from("=IIII", data, place)[2]
    frames.append(data[place + 16 : place + 16 + size])
    place += 16 + size
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind(("far", 0))
began = time.monotonic()
for number, frame in enumerate(frames):
    time.sleep(max(0.0, began + float(sys.argv[2]) * number / len(frames) - time.monotonic()))
    out.send(frame)
"""

_ASK = """
import json, sys, urllib.error, urllib.parse, urllib.request
answers = []
for address, query in json.load(sys.stdin):
    try:
        text = urllib.parse.urlencode(query)
        answers.append(urllib.request.urlopen(f"http://{address}?{text}", timeout=10).read().decode())
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        answers.append(text if text.startswith("{") else json.dumps({"status": "error", "error": text}))
    except OSError as error:
        answers.append(json.dumps({"status": "error", "error": str(error)}))
json.dump(answers, sys.stdout)
"""

Question = tuple[str, dict[str, str]]  # path of Prometheus's API, and its parameters


class Played:
    """The daemon and the Prometheus in the namespace, after the story has been played."""

    def __init__(self, spaces: namespaces.Namespaces) -> None:
        self.spaces = spaces

    def fetch(self, asked: Sequence[tuple[str, dict[str, str]]]) -> list[str]:
        """Get addresses (host, port, path) with parameters from inside; gives the bodies."""
        process = self.spaces.python(self.spaces.backend, _ASK)
        out, _ = process.communicate(json.dumps(asked), timeout=120)
        answers: list[str] = json.loads(out)
        return answers

    def ask(self, questions: Sequence[Question]) -> list[dict[str, Any]]:
        """Ask Prometheus; gives its answers, errors included."""
        asked = [(f"127.0.0.1:9090/api/v1/{path}", query) for path, query in questions]
        return [json.loads(text) for text in self.fetch(asked)]

    def exposition(self) -> str:
        """Give what the daemon shows now."""
        return self.fetch([(f"{SENSOR}/metrics", {})])[0]

    def wait(self, expr: str, seconds: float = 40) -> None:
        """Wait until a query has an answer."""
        deadline = time.monotonic() + seconds
        while not self.ask([("query", {"query": expr})])[0].get("data", {}).get("result"):
            assert time.monotonic() < deadline, f"no answer to {expr}"
            time.sleep(0.5)


@contextmanager
def played(tag: str, folder: Path) -> Iterator[Played]:
    """Play the story in namespaces of its own; `folder` takes the files."""
    story = incident.Incident()
    story.build()
    story.write(folder / "incident.pcap")
    config = folder / "egress.yml"
    config.write_text(
        incident.CONFIG
        + f"interfaces: [{namespaces.INTERFACE}]\nstate: {folder / 'state'}\n"
        + "metrics: {hold: 3s}\ncanary: {every: 2s}\n"
        # so that all there is to say has metrics; nobody listens at this address
        + f"events: [{{file: {folder / 'events.jsonl'}}}]\nalertmanagers: [{{url: http://127.0.0.1:9}}]\n",
        encoding="utf-8",
    )
    config.chmod(0o600)
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: {JOB}, static_configs: [{{targets: ['{SENSOR}']}}]}}]\n",
        encoding="utf-8",
    )
    with namespaces.joined(tag) as spaces, (folder / "log").open("wb") as log:
        for space, device in ((spaces.backend, namespaces.INTERFACE), (spaces.cloud, "far")):
            spaces.run(space, "ip", "link", "set", device, "mtu", "65000")  # the story has super-frames
        commands = [
            [sys.executable, "-I", "-m", "monitor", "run", "--config", str(config)],
            [
                str(PROMETHEUS), f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}", "--web.listen-address=127.0.0.1:9090",
            ],
        ]  # fmt: skip
        running = [
            subprocess.Popen(spaces.command(spaces.backend, *command), stdout=log, stderr=log)
            for command in commands
        ]
        try:
            one = Played(spaces)
            one.wait('egress_alert_active and on () up{job="egress-monitor"} == 1')
            player = spaces.python(spaces.cloud, _PLAY, str(folder / "incident.pcap"), str(PLAYED_IN))
            player.communicate(timeout=60)
            assert player.returncode == 0
            one.wait('egress_alert_active{rule="unsanctioned-cloud-alibaba"} == 1')
            time.sleep(8)  # what is held comes, and scrapes and a canary come after it
            yield one
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait(20)
