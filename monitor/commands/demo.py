"""``egress-monitor demo``: the incident, rebuilt with scapy, through the real pipeline."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from monitor import terminal
from monitor.commands import replay
from monitor.config import load_config
from monitor.errors import InputError

STORY = """\
A shop, December 2025. Backups go to S3, as they may. On the 4th a copy of the customer database goes up
in an Elasticsearch that answers strangers: a scanner finds it, and from the 9th somebody takes it away,
a part each night. On the 12th a batch job uploads an export to Alibaba Cloud, which nobody allowed. On
the 17th a build machine sends data out inside DNS questions. On the 26th a stranger tells the shop.
"""


def demo(keep: Path | None, evidence: Path | None) -> None:
    """Build the capture, play it, print the summary.

    ``keep`` names where the capture stays, ``evidence`` the folder for capsules.
    """
    out = terminal.console()
    out.print(" ".join(STORY.split()))
    out.print()
    with ExitStack() as stack:
        if keep is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="egress-demo-")))
            capture = folder / "incident.pcap"
        else:
            capture = keep
        config_path = _build(capture)
        replay.play(load_config(config_path), [str(capture)], replay.Outputs(evidence=evidence), None)
    if keep is None:
        out.print("\nKeep the capture with: egress-monitor demo --keep incident.pcap", style="dim")
    else:
        out.print(f"\nAgain: egress-monitor replay {keep} --config {config_path}", style="dim")


def _build(capture: Path) -> Path:
    """Write the capture and its configuration beside it; gives the configuration's path."""
    from monitor.scenario import incident  # scapy costs half a second, and only this command needs it

    config_path = capture.with_suffix(".yml")
    story = incident.Incident()
    story.build()
    try:
        story.write(capture)
        config_path.write_text(incident.CONFIG, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{error.filename or capture}: {error.strerror or error}") from error
    return config_path
