"""Exceptions of a rule: flows that it does not mind, with a reason, an owner and an expiry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from monitor.judge.condition import Vocabulary
from monitor.judge.fields import Record
from monitor.judge.match import Match, parse_match
from monitor.judge.rule_file import ExceptionFile
from monitor.yaml_file import Document, Place


@dataclass(frozen=True)
class RuleException:
    """One exception; it holds in ticks before `ends` (seconds since 1970, event time)."""

    match: Match
    reason: str
    owner: str
    expires: date

    @property
    def ends(self) -> int:
        """The end of the day it expires on, UTC."""
        day = datetime.combine(self.expires + timedelta(days=1), datetime.min.time(), UTC)
        return int(day.timestamp())

    @property
    def words(self) -> str:
        """What it matches, as in the file."""
        return ", ".join(one.words for one in self.match.conditions)

    def covers(self, row: Mapping[str, Any], tick: int) -> bool:
        """Tell whether it takes out this row."""
        return tick < self.ends and self.match.holds(row)

    def why_not(self, row: Mapping[str, Any], tick: int) -> str | None:
        """Say why it did not take out this row; None: it did."""
        if tick >= self.ends:
            return f"expired at the end of {self.expires}"
        failing = self.match.failing(row)
        if failing is None:
            return None
        proof = " (only a name that decided the provider counts)" if failing.field.name == "name" else ""
        return f"{failing.words}: does not hold{proof}"


def which(exceptions: Sequence[RuleException], tick: pl.Expr) -> pl.Expr:
    """Give the index of the first exception that takes out a row, null where none does."""
    chosen = pl.lit(None, dtype=pl.UInt32)
    for index, exception in reversed(list(enumerate(exceptions))):
        holds = exception.match.expression() & (tick < exception.ends)
        chosen = pl.when(holds).then(pl.lit(index, dtype=pl.UInt32)).otherwise(chosen)
    return chosen


def parse_exceptions(
    written: Sequence[ExceptionFile], rule: Match, record: Record, vocabulary: Vocabulary, document: Document
) -> tuple[RuleException, ...]:
    """Read a rule's exceptions; raises InputError, also for one that would take out everything."""
    own = {condition.words for condition in rule.conditions}
    found = []
    for index, exception in enumerate(written):
        place: Place = ("exceptions", index, "match")
        match = parse_match(exception.match, record, vocabulary, document, place, proven=True)
        if all(one.is_trivial() or one.words in own for one in match.conditions):
            raise document.error(
                place, "this exception matches everything that the rule does; name what is allowed"
            )
        found.append(RuleException(match, exception.reason, exception.owner, exception.expires))
    return tuple(found)
