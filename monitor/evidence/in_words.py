"""What people are told of the evidence: what is kept, and what opens a capsule."""

import shlex
from pathlib import Path

from monitor.config import EvidenceConfig, default_state
from monitor.units import format_bytes, format_duration


def opens_with(folder: Path, identity: str) -> str:
    """Give the command that opens a capsule."""
    command = f"egress-monitor inspect {identity}"
    if folder == default_state():
        return command
    return f"{command} --evidence {shlex.quote(str(folder.absolute()))}"


def kept_in_words(config: EvidenceConfig) -> str:
    """Say in one line what is kept of the recent past, and for which rules with payload."""
    if not config.ring:
        packets = "no packets"
    else:
        packets = f"{format_bytes(config.ring)} of packet headers and what names come from"
    if config.ring and config.payload_for:
        rules = ", ".join(config.payload_for)
        packets += (
            f", and {format_bytes(config.payload_ring)} of whole packets, PAYLOAD INCLUDED, for {rules};"
            " capture.snap is off for that"
        )
    bounds = config.capsules
    return (
        f"{packets}, {format_bytes(config.rows)} of flow rows, for {format_duration(config.age)} at most;"
        f" up to {bounds.number} capsules, {format_bytes(bounds.size)} in all"
    )
