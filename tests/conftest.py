"""What every test sees: which package is under test, and which inputs are missing."""

import os
import shutil
from pathlib import Path

import monitor

CHECKOUT = Path(__file__).resolve().parent.parent
TOOLS = ("tshark", "promtool", "prometheus", "prometheus-alertmanager", "ip")


def pytest_report_header() -> list[str]:
    """Say before the first test what will not be run, so that a green run is not misread."""
    package = Path(str(monitor.__file__)).parent
    kind = "the checkout, NOT the wheel" if package.is_relative_to(CHECKOUT / "monitor") else "the wheel"
    lines = [f"under test: {kind}, {package}"]
    captures = os.environ.get("EGRESS_CAPTURES")
    if not captures:
        lines.append("NOT RUN: tests over real captures, EGRESS_CAPTURES names no folder")
    elif not Path(captures).is_dir():
        lines.append(f"NOT RUN: tests over real captures, EGRESS_CAPTURES={captures} is not a folder")
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    lines += [f"NOT RUN: tests that need {tool}, it is not installed" for tool in missing]
    if os.geteuid() != 0:
        lines.append("NOT RUN: tests that need network namespaces, they need root")
    return lines
