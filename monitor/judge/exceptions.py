"""Exceptions of a rule: flows that it does not mind, with a reason, an owner and an expiry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from monitor.judge.condition import Vocabulary
from monitor.judge.fields import Record
from monitor.judge.match import Match, parse_match
from monitor.judge.rule_file import ExceptionFile
from monitor.yaml_file import Document, Place

DAY = 86_400
EXPIRED = -1  # in place of a condition that does not hold


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
        day = datetime.combine(self.expires, datetime.min.time(), UTC)
        return int(day.timestamp()) + DAY  # the last day that there is may be meant: never

    @property
    def words(self) -> str:
        """What it matches, as in the file."""
        return ", ".join(one.words for one in self.match.conditions)

    def why_not(self, failing: int) -> str | None:
        """Say why it did not take out a row, as the engine tells it: the place of a condition, or why none.

        None: nothing speaks against it; the flow was of another tick.
        """
        if failing == EXPIRED:
            return f"expired at the end of {self.expires}"
        if not 0 <= failing < len(self.match.conditions):
            return None
        condition = self.match.conditions[failing]
        proof = " (only a name that decided the provider counts)" if condition.field.name == "name" else ""
        return f"{condition.words}: does not hold{proof}"



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
