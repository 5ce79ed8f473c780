"""The keeper: a capsule holds its alert's flows, and what goes wrong with one costs no other."""

import fcntl
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from monitor.config import EvidenceConfig
from monitor.errors import InputError
from monitor.evidence import capsule, manifest
from monitor.evidence import keeper as keeper_module
from monitor.evidence.alert_flows import LOOSE, AlertFlows, find
from monitor.evidence.keeper import Keeper
from monitor.judge import Judge, Rule
from monitor.judge.alert_rows import rows_of
from monitor.judge.lists import AddressLists
from tests.judge.frames import MIB, NO_DNS, at, batch, flow, numbered, rule


def flows_of(folder: Path) -> list[set[str]]:
    """Give the addresses that the flows of each capsule went to."""
    found = []
    for place in sorted((folder / "capsules").iterdir()):
        lines = (place / "flows.jsonl").read_text(encoding="ascii").splitlines()
        found.append({json.loads(line)["remote_address"] for line in lines})
    return found


def judge_of(one: Rule) -> Judge:
    judge = Judge([one])
    judge.start()
    return judge


def judged(keeper: Keeper, one: Rule, *batches: pl.DataFrame) -> None:
    """Take batches through a judge and a keeper that has begun, a second after each other."""
    judge = judge_of(one)
    keeper.at_work([one], judge.lists, "1")
    for second, rows in enumerate(batches, 1):
        keeper.note(rows, judge.judge(rows, NO_DNS, at(second)), judge.alerts())


def test_numbers_of_one_batch_mean_nothing_in_the_next(tmp_path: Path) -> None:
    one = rule(tmp_path)
    # each batch numbers what was decided about its rows from 0
    other = {"provider": "aws", "network_provider": "aws", "remote_address": "192.0.2.1", "payload_out": 9}
    to_aws = numbered(batch([flow(0, 1, **other)]))
    to_alibaba = numbered(upload(1, 2))
    assert to_aws["case_id"].to_list() == to_alibaba["case_id"].to_list() == [0]
    keeper = Keeper(tmp_path / "kept", EvidenceConfig(ring=0), live=False)
    keeper.start()
    judged(keeper, one, to_aws, to_alibaba)
    keeper.stop()
    assert flows_of(tmp_path / "kept") == [{"192.0.2.2"}]


def live(folder: Path) -> Keeper:
    return Keeper(folder / "kept", EvidenceConfig(ring=0), live=True)


def upload(second: int, number: int, workload: str = "api", address: str = "192.0.2.2") -> pl.DataFrame:
    """Give a row that the rule fires on."""
    written = {"workload": workload, "remote_address": address, "payload_out": "2MiB"}
    return batch([flow(second, number, provider="alibaba", network_provider="alibaba", **written)])


def test_rows_of_another_version_cost_no_capsule(tmp_path: Path) -> None:
    (tmp_path / "kept" / "rows").mkdir(parents=True)
    before = upload(0, 1, address="192.0.2.1").drop("pod").with_columns(pl.lit(1).alias("forgotten"))
    before.write_parquet(tmp_path / "kept" / "rows" / "rows-0000000001.parquet")
    keeper = live(tmp_path)
    keeper.start()
    judged(keeper, rule(tmp_path), upload(1, 2))
    keeper.stop()
    assert (keeper.written, keeper.lost, keeper.trouble) == (1, 0, None)
    assert flows_of(tmp_path / "kept") == [{"192.0.2.1", "192.0.2.2"}], "both are in the alert's window"


@pytest.mark.parametrize("error", [RuntimeError("not foreseen"), pl.exceptions.PanicException("in Rust")])
def test_a_capsule_that_fails_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def add(self: AlertFlows, frame: pl.DataFrame) -> None:
        if self.alert.workload == "web":
            raise error
        plain(self, frame)

    plain = AlertFlows.add
    monkeypatch.setattr(AlertFlows, "add", add)
    keeper = live(tmp_path)
    keeper.start()
    three = [upload(0, number, workload) for number, workload in enumerate(("api", "web", "db"))]
    judged(keeper, rule(tmp_path), pl.concat(three), upload(2, 9, "cache"))
    keeper.stop()
    assert (keeper.written, keeper.lost) == (3, 1)
    assert str(error) in (keeper.trouble or "")


def test_rows_that_found_no_room_in_the_queue_take_none_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "MAX_WAITING", 1)
    monkeypatch.setattr(keeper_module, "MAX_WAITING_ROWS", 10)
    rows = [upload(0, number) for number in range(10)]
    keeper = live(tmp_path)
    keeper.note(rows[0], [], [])
    keeper.note(pl.concat(rows), [], [])  # one waits already, for the thread
    assert keeper.lost_rows == 10
    keeper.start()
    while not keeper.rows._waiting:
        time.sleep(0.001)
    keeper.note(rows[1], [], [])
    keeper.stop()
    assert keeper.lost_rows == 10
    assert sum(frame.height for frame in keeper.rows.frames(0)) == 2


def test_an_end_does_not_wait_for_the_rows_of_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = live(tmp_path)
    read = 0

    def frames(since: int) -> Iterator[pl.DataFrame]:
        nonlocal read
        for _ in range(1000):
            read += 1
            keeper._deadline = time.monotonic() - 1  # the end came, and its time is over
            yield upload(0, 1)

    monkeypatch.setattr(keeper.rows, "frames", frames)
    keeper.start()
    judged(keeper, rule(tmp_path), upload(1, 2))
    keeper.stop()
    assert (read, keeper.written, keeper.lost) == (1, 0, 1)


def test_a_replay_removes_what_it_made_and_nothing_else(tmp_path: Path) -> None:
    others = [tmp_path / "kept" / folder / "of a monitor at work" for folder in ("ring", "rows")]
    for other in others:
        other.parent.mkdir(parents=True)
        other.write_text("stays", encoding="ascii")
    keeper = Keeper(tmp_path / "kept", EvidenceConfig(), live=False)
    keeper.start()
    judged(keeper, rule(tmp_path), upload(1, 2))
    keeper.stop()
    assert [other.read_text(encoding="ascii") for other in others] == ["stays", "stays"]
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["capsules", "ring", "rows"]


def test_a_replay_has_nothing_of_one_that_was_killed(tmp_path: Path) -> None:
    one = rule(tmp_path)
    killed = Keeper(tmp_path / "kept", EvidenceConfig(ring=0), live=False)
    killed.start()
    killed.note(upload(1, 1, address="192.0.2.1"), [], [])
    while not killed.rows._waiting:
        time.sleep(0.001)
    killed.rows.flush()
    assert killed._taken is not None
    fcntl.flock(killed._taken, fcntl.LOCK_UN)  # as it is where nobody is at work there any longer
    keeper = Keeper(tmp_path / "kept", EvidenceConfig(ring=0), live=False)
    keeper.start()
    judged(keeper, one, upload(1, 2))
    keeper.stop()
    killed.stop()
    assert flows_of(tmp_path / "kept") == [{"192.0.2.2"}]


def test_connections_that_last_take_no_more_room_with_each_file_of_rows(tmp_path: Path) -> None:
    lists = AddressLists({})
    (event,) = judge_of(rule(tmp_path)).judge(upload(0, 1), NO_DNS, at(1))
    most = 0

    def frames() -> Iterator[pl.DataFrame]:
        for _ in range(3 * LOOSE):
            yield upload(0, 1)

    found = AlertFlows(rule(tmp_path), event.alert, lists)
    for frame in frames():
        found.add(frame)
        most = max(most, sum(part.height for part in found.parts))
    assert most <= LOOSE + 2
    (told,) = found.table().to_dicts()
    assert told["payload_out"] == 3 * LOOSE * 2 * MIB, "joined early or late, the sums are the same"


def test_alerts_whose_connections_have_no_room_together_are_put_off(tmp_path: Path) -> None:
    one = rule(tmp_path)
    rows = pl.concat([upload(0, number, f"host{number % 3}") for number in range(9)])
    events = judge_of(one).judge(rows, NO_DNS, at(1))
    asked = [(one, event.alert, AddressLists({})) for event in events]
    assert [len(found.seen) for found in find(asked, [rows], 9)] == [3, 3, 3]
    assert [len(found.seen) for found in find(asked, [rows], 6)] == [3, 3]
    assert [len(found.seen) for found in find(asked, [rows], 1)] == [3], "the first has room"


def test_an_alert_that_comes_again_and_again_has_no_more_room_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capsule, "MAX_FLOWS", 3)
    one = rule(tmp_path)
    (event,) = judge_of(one).judge(upload(0, 1), NO_DNS, at(1))
    earlier = None
    for time_of_it in range(2):
        found = AlertFlows(one, event.alert, AddressLists({}))
        found.add(pl.concat([upload(0, 10 * time_of_it + number) for number in range(2)]))
        folder = tmp_path / str(time_of_it)
        folder.mkdir()
        versions, packets = capsule.Versions("1", "1"), capsule.Packets()
        capsule.fill(folder, found, "begun", {}, versions, packets, earlier=earlier, payload=False, shed=0)
        earlier = folder
    told = manifest.read(tmp_path / "1")["flows"]
    assert told == {"count": 3, "rows_left_out": 1}, "of four"
    assert len((tmp_path / "1" / "flows.jsonl").read_text(encoding="ascii").splitlines()) == 3


@pytest.mark.parametrize(
    ("group", "workloads"),
    [
        ({"workload": "web", "domain": "a.example"}, ["web"]),
        ({"domain": "a.example"}, ["api"]),  # the one that most of the alert came from
        ({"workload": "other", "domain": "other"}, ["api", "web"]),  # of all that had no room
    ],
)
def test_the_flows_of_a_rule_over_dns_rows(
    tmp_path: Path, group: dict[str, str], workloads: list[str]
) -> None:
    one = rule(tmp_path)
    (event,) = judge_of(one).judge(upload(0, 1), NO_DNS, at(1))
    alert = replace(event.alert, group=group)
    assert alert.workload == "api"
    rows = batch([flow(0, n, workload=who, application="dns") for n, who in enumerate(["api", "web"])])
    both = pl.concat([rows, upload(0, 9)])
    found = rows_of(replace(one, record="dns"), alert, both, AddressLists({}))
    assert found["workload"].to_list() == workloads


def test_two_do_not_write_into_one_folder(tmp_path: Path) -> None:
    at_work = live(tmp_path)
    at_work.start()
    (tmp_path / "kept" / "capsules" / ".0123456789abcdef.new").mkdir()  # one that is just written
    (tmp_path / "kept" / ".replay").mkdir()
    other = Keeper(tmp_path / "kept", EvidenceConfig(ring=0), live=False)
    with pytest.raises(InputError, match="capsules: another egress-monitor writes its capsules here"):
        other.start()
    assert (tmp_path / "kept" / "capsules" / ".0123456789abcdef.new").exists()
    other.stop()
    assert (tmp_path / "kept" / ".replay").exists(), "of another replay, for all that it knows"
    at_work.stop()
    other.start()
    other.stop()
