"""A policy as people write it: who may talk to whom, and how much a day."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from monitor import units, yaml_file
from monitor.judge.condition import Vocabulary
from monitor.judge.match import Match, parse_match
from monitor.policy.observed import OTHERS

VERSION = 1
MAX_ENTRIES = 10_000
FIELDS = (
    "workload", "initiator", "provider", "country", "via", "name", "protocol", "local_port", "remote_port",
)  # fmt: skip


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EntryFile(_Part):
    """What is allowed: a match in the language of rules, and how much payload may be sent a day (UTC)."""

    match: dict[str, Any]
    sent_per_day: Annotated[int, BeforeValidator(units.parse_bytes)] | None = None


class PolicyFile(_Part):
    """One policy file."""

    policy: Literal[1]
    allow: Annotated[list[EntryFile], Field(max_length=MAX_ENTRIES)]


@dataclass(frozen=True)
class Entry:
    """One thing that is allowed, and the line that says so."""

    match: Match
    sent_per_day: int | None
    where: str  # file:line

    @property
    def words(self) -> str:
        """What it matches, as in the file."""
        return ", ".join(condition.words for condition in self.match.conditions)


def load_policy(
    path: Path, *, providers: Collection[str], workloads: Collection[str], sanctioned: tuple[str, ...] = ()
) -> list[Entry]:
    """Read a policy file.

    Args:
        path: the file.
        providers: ids that the catalogue knows.
        workloads: names that the configuration knows; empty: any name is right.
        sanctioned: what the word ``sanctioned`` stands for.

    Raises:
        InputError: about the first mistake, with file:line and the nearest right word.
    """
    document = yaml_file.read(path)
    if document.value is None:
        raise document.error((), "empty; a policy begins with 'policy: 1' (see egress-monitor learn)")
    written = yaml_file.validate(document, PolicyFile)
    # what `learn` writes where it had to fold workloads is read back too
    known = {*workloads, OTHERS} if workloads else None
    vocabulary = Vocabulary(providers, known, sanctioned)
    return [_entry(document, index, entry, vocabulary) for index, entry in enumerate(written.allow)]


def _entry(document: yaml_file.Document, index: int, entry: EntryFile, vocabulary: Vocabulary) -> Entry:
    place: yaml_file.Place = ("allow", index, "match")
    for field in entry.match:
        if field not in FIELDS:
            hint = yaml_file.nearest(field, FIELDS) or f"; a policy knows {', '.join(FIELDS)}"
            raise document.error((*place, field), f"unknown field {field!r}{hint}")
    if not entry.match:
        raise document.error(place, "an entry that allows everything; name at least a workload")
    match = parse_match(entry.match, "flows", vocabulary, document, place)
    return Entry(match, entry.sent_per_day, document.where(("allow", index)))


def as_row(edge: Mapping[str, Any]) -> dict[str, Any]:
    """Give an observed row (`observed.KEYS`) as a match reads it; its port is of the side that was asked."""
    port = "remote_port" if edge["initiator"] == "local" else "local_port"
    return {
        **{name: edge[name] for name in ("workload", "initiator", "provider", "country", "via", "name")},
        "protocol": edge["protocol"],
        "name_source": None,
        "local_port": None,
        "remote_port": None,
        port: edge["port"],
    }
