"""The demo's incident with evidence, through the installed command."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from monitor.scenario import incident

COMMAND = [sys.executable, "-I", "-m", "monitor"]


def run(*arguments: str | Path, status: int = 0) -> str:
    """Run egress-monitor; give its standard output. A traceback is a failure, whatever the status."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=300
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == status, (done.returncode, done.stderr)
    return done.stdout if status == 0 else done.stderr + done.stdout


def build(folder: Path) -> Path:
    """Write the incident's capture and configuration; give the capture."""
    story = incident.Incident()
    story.build()
    capture = folder / "incident.pcap"
    story.write(capture)
    (folder / "incident.yml").write_text(incident.CONFIG, encoding="utf-8")
    return capture


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tshark(capture: Path, *options: str) -> list[str]:
    done = subprocess.run(
        ["tshark", "-n", "-r", str(capture), *options], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()
