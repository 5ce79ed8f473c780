"""A sensor that went blind is told: each reason, and what is no blindness."""

from typing import Any

import polars as pl
import pytest

from monitor.flow_batch import Counters
from monitor.publish.coverage import REASONS, Coverage, InterfaceCoverage

MIB = 2**20


class Watched:
    """One interface and the counters that grow on it."""

    def __init__(self, given: Any, *, filtered: bool = False) -> None:
        self.given = given
        self.coverage = Coverage(filtered=filtered)
        self.now = 0.0
        self.frames = self.seen = self.carried = self.dropped = 0
        self.repeated = 0
        self.up = True

    def step(self, seconds: float = 1, *, out: int = 0, into: int = 0, **grown: int) -> InterfaceCoverage:
        """Let time pass and counters grow; `out` and `into` are TCP packets of flows."""
        self.now += seconds
        for name, amount in grown.items():
            setattr(self, name, getattr(self, name) + amount)
        flows = self.given.flows({"interface": "eth0", "packets_out": out, "packets_in": into})
        flows = flows if out or into else flows.clear()
        return self.coverage.update(flows, self.counters(), self.now)["eth0"]

    def counters(self) -> Counters:
        return Counters(
            frames={"eth0": self.frames}, wire_bytes={"eth0": self.seen},
            interface_bytes={"eth0": self.carried}, interface_up={"eth0": self.up},
            dropped_frames={("eth0", "ring"): self.dropped, ("eth0", "interface"): 0},
            repeated_headers={("eth0", "estimated"): self.repeated},
        )  # fmt: skip


def blind(found: InterfaceCoverage) -> set[str]:
    assert set(found.blind) == set(REASONS), "each reason has its series"
    return {reason for reason, is_blind in found.blind.items() if is_blind}


def test_all_seen_is_not_blind(given: Any) -> None:
    watched = Watched(given)
    for _ in range(200):
        found = watched.step(frames=1000, seen=MIB, carried=MIB, out=600, into=400)
        assert blind(found) == set()
    assert found.ratio == pytest.approx(1)


def test_an_interface_that_is_down_is_blind_at_once(given: Any) -> None:
    watched = Watched(given)
    watched.step(frames=1)
    watched.up = False
    assert blind(watched.step()) == {"down"}
    watched.up = True
    assert blind(watched.step(frames=1)) == set()


def test_bytes_that_the_interface_carried_and_nobody_saw(given: Any) -> None:
    watched = Watched(given)
    for _ in range(120):
        found = watched.step(frames=400, seen=MIB // 2, carried=MIB)
    assert blind(found) == {"missed"}
    # read some seconds earlier, so a little is lost at the edge
    assert found.ratio == pytest.approx(0.5, abs=0.06)
    for _ in range(120):
        found = watched.step(frames=800, seen=MIB, carried=MIB)
    assert blind(found) == set()


def test_headers_of_segments_count_as_seen(given: Any) -> None:
    watched = Watched(given)
    for _ in range(120):
        found = watched.step(frames=400, seen=8 * MIB // 10, repeated=2 * MIB // 10, carried=MIB)
    assert blind(found) == set()
    assert found.ratio == pytest.approx(1, abs=0.01)


def test_a_burst_that_is_not_drained_yet_is_no_blindness(given: Any) -> None:
    watched = Watched(given)
    for _ in range(100):
        watched.step(frames=1, seen=100, carried=100)
    assert blind(watched.step(0.5, carried=500 * MIB)) == set()
    assert blind(watched.step(1, seen=500 * MIB, frames=400_000)) == set()


def test_what_the_users_filter_refuses_is_no_blindness(given: Any) -> None:
    watched = Watched(given, filtered=True)
    for _ in range(600):
        found = watched.step(carried=MIB)
        assert blind(found) == set()
    assert found.ratio is None
    watched.up = False
    assert blind(watched.step()) == {"down"}


def test_silence(given: Any) -> None:
    watched = Watched(given)
    watched.step(frames=1)
    for _ in range(59):
        assert "silent" not in blind(watched.step(carried=100))
    assert "silent" in blind(watched.step(2, carried=100)), "it carries, and shows nothing"
    assert blind(watched.step(frames=1)) == set()
    for _ in range(299):
        assert blind(watched.step()) == set(), "a quiet network"
    assert blind(watched.step(2)) == {"silent"}, "a mirror that gives nothing"


def test_drops(given: Any) -> None:
    watched = Watched(given)
    for _ in range(30):
        found = watched.step(frames=95, dropped=5, seen=1, carried=1)
    assert blind(found) == set(), "lossy is not blind"
    for _ in range(100):
        found = watched.step(frames=80, dropped=20, seen=1, carried=1)
    assert blind(found) == {"dropped"}


@pytest.mark.parametrize(("out", "into", "expected"), [(100, 0, {"one_way"}), (0, 100, {"one_way"}),
                                                       (2, 98, set()), (0, 1, set())])  # fmt: skip
def test_one_way(given: Any, out: int, into: int, expected: set[str]) -> None:
    watched = Watched(given)
    for _ in range(60):
        found = watched.step(frames=100, seen=100, carried=100, out=out, into=into)
    assert blind(found) == expected


def test_files_have_no_interface_to_be_blind_on(given: Any) -> None:
    assert Coverage(filtered=False).update(pl.DataFrame(given.flows({})), Counters(), 1.0) == {}


def test_the_metrics_have_each_reason_at_0_from_the_first_batch(given: Any) -> None:
    publisher = given.publisher()
    given.publish(publisher, counters=Counters(interface_up={"eth0": True}))
    assert given.samples(publisher, "egress_sensor_blind") == {("eth0", reason): 0 for reason in REASONS}
    given.publish(publisher, counters=Counters(interface_up={"eth0": False}))
    assert given.samples(publisher, "egress_sensor_blind")["eth0", "down"] == 1
