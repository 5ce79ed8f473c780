"""Rows under a budget: exact in increase(), as Prometheus would compute it from what it scraped."""

import random

import pytest

from monitor.publish.counter_rows import HOUR, CounterRows, Key

OTHER: Key = ("other", "other", "other")
HOLD = 120.0


def rows(budget: int = 100, hold: float = HOLD) -> CounterRows:
    return CounterRows(3, 1, budget=budget, hold=hold)


def key(name: str) -> Key:
    return (name, "aws", "US")


def add(table: CounterRows, now: float, **values: int) -> None:
    table.add([(key(name), (value,)) for name, value in values.items()], now)


def shown(table: CounterRows, now: float) -> dict[str, int]:
    return {name: value for (name, _, _), (value,) in table.shown(now)}


class Scraper:
    """Adds up what increase() adds up: rises of a series; after a fall, all of the new value.

    Prometheus, promql/functions.go, extrapolatedRate without the extrapolation to the window's ends: a
    series gives nothing for its first sample, and a gap of a series changes nothing.
    """

    def __init__(self) -> None:
        self.last: dict[Key, int] = {}
        self.increase: dict[Key, int] = {}

    def scrape(self, table: CounterRows, now: float) -> None:
        for series, (value,) in table.shown(now):
            before = self.last.get(series)
            if before is not None:
                rise = value - before if value >= before else value
                self.increase[series] = self.increase.get(series, 0) + rise
            self.last[series] = value


def test_a_new_row_is_shown_at_0_while_its_bytes_gather() -> None:
    table = rows()
    add(table, 0, api=700)
    add(table, 60, api=50)
    assert shown(table, 119.9) == {"other": 0, "api": 0}
    assert shown(table, 120) == {"other": 0, "api": 750}


def test_without_hold_values_are_shown_as_they_are() -> None:
    table = rows(hold=0)
    add(table, 0, api=700)
    assert shown(table, 0) == {"other": 0, "api": 700}


def test_past_the_budget_bytes_go_to_other_and_stay_there() -> None:
    table = rows(budget=4)  # other and at most three more
    add(table, 0, a=30, b=20, c=10, d=5)
    assert shown(table, 200) == {"other": 5, "a": 30, "b": 20, "c": 10}
    add(table, 300, d=7)
    assert shown(table, 300)["other"] == 12


def test_an_idle_row_gives_way_only_after_an_hour_and_resumes_its_value() -> None:
    table = rows(budget=3)
    add(table, 0, a=30, b=20)
    add(table, HOUR - 1, b=1, c=5)
    assert set(shown(table, HOUR)) == {"other", "a", "b"}
    add(table, HOUR, b=1, c=6)  # a has been idle for an hour
    assert shown(table, HOUR + HOLD) == {"other": 5, "b": 22, "c": 6}
    add(table, 3 * HOUR, a=4, b=1)  # c has been idle
    assert shown(table, 3 * HOUR) == {"other": 5, "a": 30, "b": 23}  # held at what it left with
    assert shown(table, 3 * HOUR + HOLD)["a"] == 34


def test_a_row_far_below_a_newcomer_gives_way_after_a_whole_hour() -> None:
    table = rows(budget=3)
    add(table, 0, big=5000, small=50)
    for now in range(60, int(HOUR), 60):
        add(table, now, big=5000, small=1, new=100)
    assert "new" not in shown(table, HOUR - 1)
    add(table, HOUR, big=1, small=3)  # the hour is over: small gives way, and takes no more bytes
    add(table, HOUR + 60, small=1000)
    others = 59 * 100 + 3 + 1000
    assert shown(table, HOUR + 60) == {"other": others, "big": 5000 * 60 + 1, "small": 50 + 59}
    add(table, HOUR + HOLD + 60, new=7)
    assert "small" not in shown(table, HOUR + HOLD + 60)
    assert shown(table, HOUR + 3 * HOLD)["new"] == 7


def test_a_row_that_is_not_far_below_stays() -> None:
    table = rows(budget=3)
    add(table, 0, big=5000, small=50)
    for now in range(60, int(2 * HOUR), 60):
        add(table, now, big=5000, small=11, new=100)  # a tenth of the newcomer, and a bit
    assert set(shown(table, 2 * HOUR)) == {"other", "big", "small"}


def test_keys_of_open_alerts_have_reserved_rows() -> None:
    table = rows(budget=20)  # two rows are kept
    add(table, 0, **{f"w{index}": 1000 for index in range(50)})
    assert len(table.shown(0)) == 18
    table.reserve({("late", "aws")})
    add(table, 60, late=1, **{f"w{index}": 1000 for index in range(50)})
    assert shown(table, 60 + HOLD)["late"] == 1
    # it does not give way however idle and small it is
    for hour in range(1, 5):
        add(table, hour * HOUR, **{f"w{index}": 10**6 for index in range(50)})
    assert shown(table, 5 * HOUR)["late"] == 1


@pytest.mark.parametrize("seed", range(4))
def test_increases_of_all_rows_sum_to_what_was_sent(seed: int) -> None:
    chance = random.Random(seed)
    table = rows(budget=40)
    scraper = Scraper()
    sent: dict[Key, int] = {}
    now = 0.0
    scraper.scrape(table, now)
    for step in range(6000):  # 25 hours in steps of a scrape interval
        now += 15
        if step % 400 == 0:  # the workloads in fashion change every 100 minutes
            busy = [key(f"w{chance.randrange(1000)}") for _ in range(60)]
        batch = {chance.choice(busy): chance.randrange(1, 10 ** chance.randrange(1, 7)) for _ in range(20)}
        batch[key(f"w{chance.randrange(1000)}")] = chance.randrange(1, 100)
        for series, number in batch.items():
            sent[series] = sent.get(series, 0) + number
        table.add([(series, (number,)) for series, number in batch.items()], now)
        scraper.scrape(table, now)
        assert len(table.shown(now)) <= 40
    for _ in range(2 * int(HOLD) // 15):  # what is held back comes
        now += 15
        table.add([], now)
        scraper.scrape(table, now)
    assert sum(scraper.increase.values()) == sum(sent.values())
    assert len(scraper.increase) > 100, "rows came and went"
    for series, increase in scraper.increase.items():
        assert series == OTHER or increase <= sent[series], "a row shows only bytes of its own key"


def test_what_is_remembered_is_bounded() -> None:
    table = rows(budget=10)
    now = 0.0
    for round_ in range(100):
        now += HOUR + 1
        table.add([(key(f"w{round_}-{index}"), (1,)) for index in range(50)], now)
    assert len(table._remembered) == 80
    assert table.forgotten > 0
    assert len(table._candidates) <= 40
