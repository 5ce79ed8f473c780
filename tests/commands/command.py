"""The installed command, run as people run it."""

import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-I", "-m", "monitor"]


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, with its output as text."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
