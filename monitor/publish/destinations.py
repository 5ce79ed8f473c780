"""Who sent most to whom in the last hour, and which destinations are new, for the page and the API.

Metrics fold names and unlisted networks to one word each; here they are whole, so this is bounded by itself:
the hour is cut into `SLICES`, each keeps `MAX_KEYS` destinations, and of one batch the `MAX_ROWS` heaviest
are looked at. What has no place is summed in ``others``, so that the bytes of an hour are exact.
"""

import heapq
import threading
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import polars as pl

from monitor.judge.alert import rfc3339

WINDOW = 3600  # seconds that are summed
SLICES = 6  # of the window
MAX_KEYS = 2000  # destinations of a slice; some 500 bytes each, so 8 MB in all
MAX_ROWS = 500  # destinations of one batch
MAX_TEXT = 253  # characters of a name: the longest that DNS has (RFC 1035 section 2.3.4)
MAX_SEEN = 20_000  # triples of workload, provider and country that are remembered; some 6 MB
NEW_FOR = 24 * 3600  # seconds that a destination counts as new

_SECOND = 10**9
_SUMS = ("bytes_out", "bytes_in", "payload_out", "connections")


class Destination(NamedTuple):
    """One destination as somebody sends to it; None where it is not known."""

    workload: str
    provider: str | None
    as_name: str | None
    country: str | None
    name: str | None  # that its DNS answer or the client gave
    evidence: str | None  # what decided the provider
    confidence: str | None


# what is read of flows
COLUMNS = ["scope", "started", "first_seen", "dns_name", *Destination._fields, *_SUMS[:3]]


class Sums(NamedTuple):
    """What went there in the window."""

    sent_bytes: int = 0
    received_bytes: int = 0
    sent_payload: int = 0
    connections: int = 0  # that began

    def plus(self, other: "Sums") -> "Sums":
        """Add up."""
        return Sums(*(one + another for one, another in zip(self, other, strict=True)))


class New(NamedTuple):
    """A workload that sent to a provider in a country for the first time since the start."""

    workload: str
    provider: str | None
    country: str | None
    first: int  # ns since 1970


@dataclass(frozen=True)
class Summary:
    """What the last hour came to."""

    top: list[tuple[Destination, Sums]]  # the heaviest first
    total: int  # destinations there were, less those in `others`
    others: Sums  # of what had no place of its own
    new: list[New]  # the newest first
    since: int  # ns since 1970: what was before is not known; 0 before the first batch


@dataclass
class _Slice:
    number: int
    rows: dict[Destination, Sums] = field(default_factory=dict)
    others: Sums = field(default_factory=Sums)


class Destinations:
    """One thread adds; any thread may ask. The lock is held for as long as one batch's rows take."""

    def __init__(self) -> None:
        self.forgotten = 0  # destinations that were summed in `others` for want of room
        self._lock = threading.Lock()
        self._slices: list[_Slice] = []
        self._seen: dict[tuple[str, str | None, str | None], int] = {}
        self._since = 0

    def add(self, flows: pl.DataFrame, clock: int) -> None:
        """Add the `COLUMNS` of attributed flows; `clock` is the event clock, ns since 1970."""
        rows, rest = _heaviest(flows)
        number = clock // _SECOND * SLICES // WINDOW
        with self._lock:
            self._since = self._since or clock
            if not self._slices or self._slices[-1].number < number:
                self._slices = [
                    one for one in self._slices if one.number > number - SLICES
                ] + [_Slice(number)]
            now = self._slices[-1]
            now.others = now.others.plus(rest)
            for key, sums in rows:
                now.rows[key] = now.rows.get(key, Sums()).plus(sums)
                triple = key.workload, key.provider, key.country
                if triple not in self._seen:
                    if len(self._seen) >= MAX_SEEN:
                        self._forget_oldest()
                    self._seen[triple] = clock
            if len(now.rows) > MAX_KEYS:
                self._fold(now)

    def summary(self, rows: int) -> Summary:
        """Give the heaviest and the newest `rows` destinations."""
        with self._lock:
            slices = [(dict(one.rows), one.others) for one in self._slices]
            seen, since = dict(self._seen), self._since
            newest = self._slices[-1].number if self._slices else 0
        sums: dict[Destination, Sums] = {}
        others = Sums()
        for one, rest in slices:
            others = others.plus(rest)
            for key, found in one.items():
                sums[key] = sums.get(key, Sums()).plus(found)
        top = heapq.nsmallest(rows, sums.items(), key=_order)
        after = newest * WINDOW // SLICES * _SECOND - NEW_FOR * _SECOND
        young = ((first, triple) for triple, first in seen.items() if first > after)
        new = heapq.nlargest(rows, young, _first)
        return Summary(
            top, len(sums), others, [New(*triple, first=first) for first, triple in new], since
        )

    def _fold(self, one: _Slice) -> None:
        kept = dict(heapq.nsmallest(MAX_KEYS // 2, one.rows.items(), key=_order))
        for key, sums in one.rows.items():
            if key not in kept:
                one.others = one.others.plus(sums)
                self.forgotten += 1
        one.rows = kept

    def _forget_oldest(self) -> None:
        """Forget the half that is known the longest; what comes back counts as new again."""
        first = sorted(self._seen.items(), key=lambda item: item[1])
        self.forgotten += len(first) // 2
        self._seen = dict(first[len(first) // 2 :])


def _heaviest(flows: pl.DataFrame) -> tuple[list[tuple[Destination, Sums]], Sums]:
    """Give the batch's heaviest destinations, and the sums of the others."""
    text = {
        name: pl.col(name).cast(pl.String).str.slice(0, MAX_TEXT)
        for name in Destination._fields
        if name != "name"
    }
    text["name"] = pl.coalesce("dns_name", "name").str.slice(0, MAX_TEXT)
    groups = (
        flows.lazy()
        .filter(pl.col("scope") == "egress")
        .select(
            *(text[name].alias(name) for name in Destination._fields),
            *_SUMS[:3],
            # a connection is counted in its first row, the one that holds its first packet
            ((pl.col("first_seen") <= pl.col("started")) & (pl.col("bytes_out") + pl.col("bytes_in") > 0))
            .cast(pl.UInt64)
            .alias("connections"),
        )
        .group_by(Destination._fields)
        .agg(pl.col(_SUMS).sum())
        .sort("bytes_out", *Destination._fields, descending=[True] + [False] * len(Destination._fields))
        .collect()
    )
    width = len(Destination._fields)
    rows = [
        (Destination(*row[:width]), Sums(*row[width:])) for row in groups.head(MAX_ROWS).iter_rows()
    ]
    rest = groups.slice(MAX_ROWS)
    return rows, Sums(*(int(rest[name].sum()) for name in _SUMS))


def _order(item: tuple[Destination, Sums]) -> tuple[int, int, str]:
    """Order by what was sent, the most first; the same numbers always in the same order."""
    key, sums = item
    return -sums.sent_bytes, -sums.received_bytes, repr(key)


def _first(item: tuple[int, tuple[str, str | None, str | None]]) -> tuple[int, str]:
    return item[0], repr(item[1])


def to_json(summary: Summary) -> dict[str, Any]:
    """Give what ``/api/v1/destinations`` answers."""
    return {
        "window_seconds": WINDOW,
        "since": rfc3339(summary.since),
        "destinations": [key._asdict() | sums._asdict() for key, sums in summary.top],
        "total": summary.total,
        "others": summary.others._asdict(),
        "new": [new._asdict() | {"first": rfc3339(new.first)} for new in summary.new],
    }
