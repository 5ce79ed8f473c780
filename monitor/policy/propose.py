"""A policy proposed from what was observed: YAML that people review, with the evidence in comments.

Names come from the wire. They are written so that YAML reads back the same text on one line, and a ``*`` in
one is written ``?``: a name must not allow more than itself.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from monitor.attribute.questions import split
from monitor.judge.fields import ANY, NONE, PROTOCOLS, SANCTIONED
from monitor.policy.observed import Observed
from monitor.policy.policy_file import VERSION
from monitor.terminal import visible
from monitor.units import format_bytes

MAX_NAMES = 12  # of an entry; more become ``*.domain``, and past it again any name
MAX_PORTS = 12  # likewise; more become one range
MAX_PLACES = 12  # countries of an entry, and providers of those who come from outside
MAX_SHOWN = 255  # characters of a name in a comment
MIB = 2**20
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._/-]*")
_YAML_WORDS = {"y", "n", "yes", "no", "true", "false", "on", "off", "null", "none"}
_PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}
_GROUPS = {
    "local": ["workload", "provider", "via", "protocol"],
    "remote": ["workload", "via", "protocol", "port"],
}


def propose(observed: Observed, sources: Sequence[str], notes: Iterable[str] = ()) -> str:
    """Give the text of a policy file: one entry for each workload and whom it asks or what it answers.

    Args:
        observed: what was seen.
        sources: names of the files it was seen in.
        notes: lines for the head, such as alerts that fired in this traffic.
    """
    rows = observed.rows
    lines = [f"# {line}" for line in _head(observed, sources, notes)]
    lines += [f"policy: {VERSION}", "allow:" if not rows.is_empty() else "allow: []"]
    for initiator, keys in _GROUPS.items():
        side = rows.filter(pl.col("initiator") == initiator).sort(keys, nulls_last=True)
        for group in side.partition_by(keys, maintain_order=True):
            lines += _entry(group, initiator)
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """Write text as YAML reads it back, on one line of ASCII (YAML 1.2 section 5.7)."""
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    return '"' + "".join(_escaped(sign) for sign in text) + '"'


def _escaped(sign: str) -> str:
    if sign in '"\\':
        return f"\\{sign}"
    if " " <= sign <= "~":
        return sign
    number = ord(sign)
    return (
        f"\\x{number:02x}"
        if number < 0x100
        else f"\\u{number:04x}"
        if number < 0x10000
        else f"\\U{number:08x}"
    )


def _head(observed: Observed, sources: Sequence[str], notes: Iterable[str]) -> Iterator[str]:
    shown = ", ".join(sources[:5]) + (f" and {len(sources) - 5} more" if len(sources) > 5 else "")
    yield visible(f"Proposed by egress-monitor learn from {shown}.")
    span = observed.span
    if span is None:
        yield "No traffic of the local networks with the outside was seen, so nothing is allowed."
    else:
        sent = format_bytes(int(observed.rows["payload_out"].sum()))
        yield f"{_moment(span.first)} to {_moment(span.last)} UTC, {sent} of payload sent."
    for note in notes:
        yield visible(note)
    if observed.folded:
        yield f"Not whole: {observed.folded:,} rows of light traffic were folded to keep the bound of memory."
    yield "It says what was, not what should be. Delete what should not be, narrow what is too wide, then"
    yield "keep the file in version control and compare: egress-monitor diff FILE CAPTURE..."
    yield "An entry allows a connection for which all of its lines hold; sent_per_day is payload, by UTC day."


def _entry(group: pl.DataFrame, initiator: str) -> Iterator[str]:
    """Write one entry: comments with the evidence, then the match."""
    first = group.row(0, named=True)
    is_out = initiator == "local"
    protocol = first["protocol"]
    said: dict[str, list[str]] = {"workload": [quoted(first["workload"])], "initiator": [initiator]}
    comments = [_evidence(group, is_out)]
    if is_out or group["provider"].n_unique() <= MAX_PLACES:
        said["provider"] = _words(group["provider"])
    else:
        comments.append(f"from {group['provider'].n_unique():,} networks, so none is named")
    if group["country"].n_unique() <= MAX_PLACES:
        said["country"] = _words(group["country"])
    else:
        comments.append(f"in {group['country'].n_unique():,} countries, so none is named")
    if group["via"][0] is not None:
        said["via"] = [quoted(group["via"][0])]
    if is_out:
        names, note = _names(group)
        comments += note
        said |= {"name": names} if names else {}
    said["protocol"] = [_PROTOCOL_NAMES.get(protocol, str(protocol))]
    ports = group["port"].drop_nulls().unique().sort().to_list()
    if ports:
        said["remote_port" if is_out else "local_port"] = _ports(ports)
    if group["midstream"].sum():
        comments.append(
            f"{group['midstream'].sum():,} connections were first seen in their middle; the ports decide"
        )
    yield ""
    yield from (f"  # {visible(comment)}" for comment in comments)
    yield "  - match:"
    for field, values in said.items():
        yield f"      {field}: {values[0] if len(values) == 1 else '[' + ', '.join(values) + ']'}"
    if not group["published"].any():
        yield f"    sent_per_day: {_limit(_most_in_a_day(group))}"


def _evidence(group: pl.DataFrame, is_out: bool) -> str:
    sums = group.select(pl.col("payload_out", "payload_in", "connections").sum()).row(0, named=True)
    first, last = group.select(
        pl.col("first").min().cast(pl.Datetime("us", "UTC")),
        pl.col("last").max().cast(pl.Datetime("us", "UTC")),
    ).row(0)
    how = ", ".join(group["evidence"].unique().sort().to_list())
    published = "published; " if group["published"].any() else ""
    return (
        f"{published}{sums['connections']:,} connections{'' if is_out else ' from outside'}, "
        f"{format_bytes(sums['payload_out'])} sent, {format_bytes(sums['payload_in'])} got; "
        f"most in a day {format_bytes(_most_in_a_day(group))}; {_moment(first)} to {_moment(last)}; "
        f"how we know: {how}"
    )


def _most_in_a_day(group: pl.DataFrame) -> int:
    return int(group.group_by("day").agg(pl.col("payload_out").sum())["payload_out"].max() or 0)  # type: ignore[arg-type]


def _limit(most: int) -> str:
    """Give twice the most of a day as the next power of two, at least 1 MiB."""
    size = MIB
    while size < 2 * most:
        size *= 2
    for unit, factor in (("TiB", 2**40), ("GiB", 2**30)):
        if size >= factor:
            return f"{size // factor}{unit}"
    return f"{size // MIB}MiB"


def _words(values: pl.Series) -> list[str]:
    """Write providers or countries, ``none`` where one is unknown."""
    return [NONE if value is None else quoted(value) for value in values.unique().sort().to_list()]


def _ports(ports: list[int]) -> list[str]:
    return [str(port) for port in ports] if len(ports) <= MAX_PORTS else [f"{ports[0]}-{ports[-1]}"]


def _names(group: pl.DataFrame) -> tuple[list[str], list[str]]:
    """Give what to write for ``name``, and comments about it; nothing where there are too many."""
    sums = (
        group.group_by("name")
        .agg(pl.col("payload_out").sum())
        .sort("payload_out", "name", descending=[True, False])
    )
    unnamed = [NONE] if sums["name"].null_count() else []
    heaviest = sums["name"].drop_nulls()
    if heaviest.is_empty():
        return unnamed, []
    if heaviest.len() <= MAX_NAMES:
        return unnamed + [quoted(literal(name)) for name in sorted(heaviest)], []
    top = ", ".join(visible(name, MAX_SHOWN) for name in heaviest.head(3))
    domains = sorted({split(name).domain or "" for name in heaviest.str.to_lowercase().to_list()})
    if len(domains) > MAX_NAMES:
        return [], [
            f"{heaviest.len():,} names of {len(domains):,} domains, so none is named; most went to {top}"
        ]
    globs = sorted({quoted(glob) for domain in domains for glob in (literal(domain), f"*.{literal(domain)}")})
    return unnamed + globs, [f"{heaviest.len():,} names, written by domain; most went to {top}"]


def literal(name: str) -> str:
    """Write a name so that a match reads it as itself and not as a pattern or a word of the language."""
    plain = name.replace("*", "?")
    return f"{plain[:-1]}?" if plain.lower() in (ANY, NONE, SANCTIONED) else plain


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M}"


def describe(edge: dict[str, Any]) -> str:
    """Write protocol and port for people: ``tcp/443``, ``icmp``."""
    protocol = _PROTOCOL_NAMES.get(edge["protocol"], f"protocol {edge['protocol']}")
    return protocol if edge["port"] is None else f"{protocol}/{edge['port']}"
