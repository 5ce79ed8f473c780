"""Another judge: every second, over all rows, as docs/rules.md says it. Slow, and nothing of the engine's.

It judges one rule ``per: [workload]`` without the bounds of the tables. Times are seconds.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median_high
from typing import Any

from monitor.judge import Rule
from monitor.judge.case_rows import Row
from monitor.judge.exceptions import RuleException

SECOND = 10**9
HOUR, DAY = 3600, 86_400
Told = tuple[str, int, str, int, int]  # kind, time, group, value, bytes sent


def measured(rule: Rule, row: Row) -> int:
    """What one row adds."""
    measure = rule.measure
    if measure.what == "sum":
        return int(row[measure.of])
    if measure.of == "connections":
        return int(row["packets_out"] + row["packets_in"] > 0 and row["first_seen"] <= row["started"])
    return int(row[measure.of] is not None)


def covers(exception: RuleException, row: Row) -> bool:
    """Whether an exception takes a row out."""
    return row["tick"] < exception.ends and exception.match.holds(row)


class Group:
    """One group, second by second."""

    def __init__(self, rule: Rule, rows: Sequence[Row]) -> None:
        self.rule = rule
        self.rows = rows
        self.peaks: dict[int, int] = {}  # by hour: the largest sum, as it counts later
        self.hour: tuple[int, int, bool] | None = None
        self.began = rows[0]["tick"] if rows else 0

    def holds(self, tick: int) -> tuple[bool, int]:
        """Whether all ways hold at the end of a second, and the sum."""
        ways = self.rule.ways
        window = self.rule.measure.window
        held = [row for row in self.rows if tick - window < row["tick"] <= tick]
        total = sum(measured(self.rule, row) for row in held)
        holds = total > ways.line
        if ways.ratio:
            of, to = (sum(row[name] for row in held) for name in (ways.ratio.of, ways.ratio.to))
            holds &= of >= ways.ratio.floor and of > ways.ratio.above * to
        if ways.distinct:
            found = {row[ways.distinct.of] for row in held if measured(self.rule, row)} - {None}
            holds &= len(found) > ways.distinct.above
        if ways.periodic:
            holds &= self.is_regular(held, tick)
        if ways.baseline:
            usual = self.usual(tick)
            holds &= usual is not None and total > usual
        return holds, total

    def is_regular(self, held: Sequence[Row], tick: int) -> bool:
        """Whether the last starts are regular."""
        way = self.rule.ways.periodic
        assert way is not None
        low, high = (bound * SECOND for bound in way.between)
        beats: list[int] = []
        for start in sorted({row["started"] for row in held}):
            if not beats or start - beats[-1] >= low:
                beats.append(start)
        beats = beats[-way.count :]
        if len(beats) < way.count:
            return False
        apart = [after - before for before, after in pairwise(beats)]
        middle = median_high(apart)
        near = [one for one in apart if abs(one - middle) * 100 <= middle * way.jitter]
        is_alive = tick * SECOND - beats[-1] <= 3 * middle
        firsts: dict[int, int] = {}
        for start in sorted(row["started"] for row in held):
            firsts.setdefault(start // (low // 2), start)
        between = [start for start in firsts.values() if beats[0] <= start <= beats[-1]]
        has_pauses = 2 * len(between) <= 3 * way.count
        return low <= middle <= high and 5 * len(near) >= 4 * len(apart) and has_pauses and is_alive

    def turn(self, tick: int) -> None:
        """Close the hour that is over."""
        way = self.rule.ways.baseline
        assert way is not None
        if self.hour is None:
            self.hour = (self.began // HOUR, 0, False)
        hour, peak, was_open = self.hour
        if tick // HOUR <= hour:
            return
        if hour * HOUR - self.began >= way.history:
            middle, _, second = self.of_hour(hour)
            most = max(middle, second)
            peak = min(peak, most if was_open else max(way.floor, most + most // 20))
        self.peaks[hour] = peak
        self.hour = (tick // HOUR, 0, False)

    def note(self, tick: int, total: int, is_open: bool) -> None:
        """Remember the sum of a second in which the group had rows."""
        self.turn(tick)
        assert self.hour is not None
        self.hour = (self.hour[0], max(self.hour[1], total), self.hour[2] or is_open)

    def of_hour(self, hour: int) -> tuple[int, int, int]:
        """Middle, deviation and second largest of the days before."""
        days = min(max((hour - self.began // HOUR) // 24, 1), 28)
        before = sorted(
            max(self.peaks.get(hour - 24 * day + beside, 0) for beside in (-1, 0, 1))
            for day in range(1, days + 1)
        )
        middle = median_high(before)
        spread = median_high([abs(one - middle) for one in before]) * 14_826 // 10_000
        return middle, max(spread, middle // 10), before[-2] if len(before) > 1 else 0

    def usual(self, tick: int) -> int | None:
        """What is usual at this hour; None: not known for long enough."""
        way = self.rule.ways.baseline
        assert way is not None
        self.turn(tick)
        if tick - self.began < way.history:
            return None
        middle, spread, second = self.of_hour(tick // HOUR)
        wide = spread * way.deviations.numerator // way.deviations.denominator
        return max(second, middle + wide)


def judged(rule: Rule, rows: Sequence[Row], start: int, end: int) -> list[Told]:
    """Judge rows from `start` to `end` (seconds after it); give what is told, in order."""
    told: list[Told] = []
    for key in sorted({row["workload"] for row in rows}):
        mine = [
            row
            for row in sorted(rows, key=lambda row: row["tick"])
            if row["workload"] == key
            and rule.match.holds(row)
            and not any(covers(one, row) for one in rule.exceptions)
            and (measured(rule, row) or _counts_anyway(rule, row))
        ]
        told += _life(rule, key, mine, start, end)
    return sorted(told, key=lambda one: (one[1], one[0] != "ended", one[2]))


def _counts_anyway(rule: Rule, row: Row) -> bool:
    ratio = rule.ways.ratio
    return bool(rule.ways.periodic or (ratio and (row[ratio.of] or row[ratio.to])))


def _life(rule: Rule, key: str, mine: Sequence[Row], start: int, end: int) -> list[Told]:
    told: list[Told] = []
    group = Group(rule, mine)
    window, resolve = rule.measure.window, rule.resolve_after
    alert: dict[str, Any] | None = None
    false_for = counted = 0
    by_tick: dict[int, list[Row]] = {}
    for row in mine:
        by_tick.setdefault(row["tick"], []).append(row)
    for tick in range(start, start + end):
        here = by_tick.get(tick, [])
        is_open = bool(alert and alert["open"])
        if not here and not is_open:
            false_for += 1
            continue
        holds, total = group.holds(tick)
        if alert and alert["open"] and false_for >= resolve:
            alert["open"] = False
            alert["ended"] = tick
            told.append(("ended", tick * SECOND, key, alert["value"], alert["sent"]))
        if here and alert and alert["open"]:
            alert["sent"] += sum(row["payload_out"] for row in here)
            counted = tick
        if holds and here and not (alert and alert["open"]):
            held = [row for row in mine if tick - window < row["tick"] <= tick]
            if alert and tick - alert["ended"] < DAY:
                alert["sent"] += sum(row["payload_out"] for row in held if row["tick"] > counted)
                alert["value"] = max(alert["value"], total)
            else:
                alert = {"value": total, "sent": sum(row["payload_out"] for row in held)}
            alert["open"] = True
            counted = tick
            alert["told"] = (alert["value"], alert["sent"])
            told.append(("begun", tick * SECOND, key, alert["value"], alert["sent"]))
        elif here and alert and alert["open"]:
            alert["value"] = max(alert["value"], total if holds else 0)
            if alert["value"] >= 2 * alert["told"][0] or alert["sent"] >= 2 * max(alert["told"][1], 1):
                alert["told"] = (alert["value"], alert["sent"])
                told.append(("growing", tick * SECOND, key, alert["value"], alert["sent"]))
        false_for = 0 if holds else false_for + 1
        if here and rule.ways.baseline:
            group.note(tick, total, bool(alert and alert["open"]))
    if alert and alert["open"] and false_for >= resolve:
        told.append(("ended", (start + end) * SECOND, key, alert["value"], alert["sent"]))
    return told
