"""An alert that comes back while what a flood made coarse is still in its window counts no byte twice."""

import random
from pathlib import Path

import pytest

from monitor.judge import Judge

from .frames import LOOSE_TESTS, NO_DNS, SECOND, at, batch, flow, rule


@pytest.mark.parametrize("seed", [1, 7, 14, 20])
def test_an_alert_that_comes_back_counts_no_byte_twice(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    measure = {"sum": "payload_out", "per": ["workload"], "window": "100s"}
    one = rule(tmp_path, measure=measure, fire={"above": 1000}, resolve_after="1s", tests=LOOSE_TESTS)
    flood = [
        flow(tick, tick, workload="flood", country=f"{letter}{other}", provider="alibaba", payload_out=1)
        for tick in range(8)
        for letter in "ABCDEFG"
        for other in "ABCDEFG"
    ]
    sizes = [(0, 2000), *((chance.randrange(20, 400), chance.choice([10, 10, 10, 1500])) for _ in range(14))]
    sent = [
        flow(tick, 900 + tick, workload="api", provider="alibaba", payload_out=size) for tick, size in sizes
    ]
    judge = Judge([one], learn=False, bounds={"entries": 60})
    judge.start()
    events = judge.judge(batch([*flood, *sent]), NO_DNS, at(900))
    mine = [event.alert for event in events if event.alert.workload == "api"]
    assert max(alert.reopened for alert in mine) > 0, "the traffic tests too little"
    for alert in mine:
        all_sent = sum(size for tick, size in sizes if at(tick) < alert.last + SECOND)
        assert alert.sent_bytes <= all_sent
