"""``egress-monitor learn``: a policy proposed from what was observed."""

import sys
from pathlib import Path

from monitor import terminal
from monitor.commands.observe import observe
from monitor.config import load_config
from monitor.errors import InputError
from monitor.policy.propose import propose


def learn(
    captures: list[str],
    flow_files: list[Path],
    config_path: Path | None,
    local: list[str],
    output: Path | None,
) -> None:
    """Print the policy, or write it to a file that is not there yet: a reviewed one is not overwritten."""
    config = load_config(config_path)
    if output is not None and output.exists():
        raise InputError(
            f"{output}: is there already; a reviewed policy is not overwritten, name another file"
        )
    seen = observe(config, captures, flow_files, local)
    for warning in seen.warnings:
        print(f"egress-monitor: warning: {terminal.visible(warning)}", file=sys.stderr)
    text = propose(seen.observed, seen.sources, seen.notes)
    if output is None:
        print(text, end="")
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"{output}: {error.strerror or error}") from error
