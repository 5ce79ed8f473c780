"""What groups were found to use while rules learnt, listed once so that people can review it.

``novel`` and ``baseline`` take for usual what they see at first, a leak that was there before the monitor
too. Nothing of it is paged; it stands in a list (``egress-monitor rules learnt``).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from monitor.judge.alert import SECOND, nanoseconds, rfc3339
from monitor.judge.rule import Rule

OTHER = "other"  # the group of what has no room


@dataclass(frozen=True)
class Used:
    """A value that a group used: how much was measured of it by then, and when it was last used (seconds)."""

    value: Any
    amount: int
    last: int


@dataclass(frozen=True)
class Learnt:
    """What one group learnt for one rule: `used` for ``novel``, `hours` and `most` for ``baseline``.

    `group` is by field, as alerts have it. `began` and `ended` are of the learning, seconds since 1970.
    `left_out` are values beyond those listed; `most` is the largest sum of an hour, of those with traffic.
    """

    rule: str
    way: str
    of: str
    measure: str
    group: dict[str, Any]
    began: int
    ended: int
    used: tuple[Used, ...] = ()
    left_out: int = 0
    hours: int = 0
    most: int = 0

    @classmethod
    def of_engine(cls, told: Any, rules: Sequence[Rule]) -> "Learnt":
        """Make it of what the engine tells (`RuleEngine.take_learnt`)."""
        place, values, (began, ended), used, left_out, hours = told
        rule = rules[place]
        novel = rule.ways.novel
        is_novel = hours is None and novel is not None
        fields = rule.measure.per if is_novel else rule.group_fields
        return cls(
            rule.id,
            "novel" if is_novel else "baseline",
            novel.of if is_novel and novel is not None else "",
            f"{rule.measure.what} of {rule.measure.of}",
            dict(zip(fields, values, strict=True)) if values or not fields else dict.fromkeys(fields, OTHER),
            began,
            ended,
            tuple(Used(*one) for one in used),
            left_out,
            *(hours or (0, 0)),
        )

    @property
    def weight(self) -> int:
        """What was measured in all, or the largest hour: the heaviest is reviewed first."""
        return sum(one.amount for one in self.used) or self.most

    def to_json(self) -> dict[str, Any]:
        """Give it with times as RFC 3339."""
        times = {"began": rfc3339(self.began * SECOND), "ended": rfc3339(self.ended * SECOND)}
        used = [{**asdict(one), "last": rfc3339(one.last * SECOND)} for one in self.used]
        return {**asdict(self), **times, "used": used}

    @classmethod
    def from_json(cls, written: dict[str, Any]) -> "Learnt":
        """Read what `to_json` gave; raises ValueError, KeyError or TypeError."""
        used = tuple(Used(**{**one, "last": nanoseconds(one["last"]) // SECOND}) for one in written["used"])
        times = {name: nanoseconds(written[name]) // SECOND for name in ("began", "ended")}
        return cls(**{**written, **times, "used": used})


class LearntNews:
    """Says now and then that something was learnt: the first time at once, then once an hour at most."""

    EVERY = 3600  # seconds of event time

    def __init__(self) -> None:
        self._rules: dict[str, int] = {}  # groups by rule, that were not told yet
        self._told_at: int | None = None

    def add(self, listed: Sequence[Learnt]) -> None:
        """Take note of what stands in the list now."""
        for one in listed:
            self._rules[one.rule] = self._rules.get(one.rule, 0) + 1

    def tell(self, now: int) -> list[str]:
        """Give one line for people, or none; `now` in seconds."""
        if not self._rules or (self._told_at is not None and 0 <= now - self._told_at < self.EVERY):
            return []
        self._told_at = now
        groups = ", ".join(f"{rule} ({count:,})" for rule, count in sorted(self._rules.items()))
        self._rules.clear()
        return [f"these rules have learnt what is usual, for so many groups; review it once: {groups}. "
                f"It stands in: egress-monitor rules learnt"]  # fmt: skip
