"""The law: several workers give the same rows as one, apart from their order within a tick."""

from pathlib import Path

import polars as pl
import pytest
from scapy.layers.inet import IP, TCP, fragment
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

from monitor.errors import InputError
from monitor.flow_batch import INDEXES

from . import truth

EVERY = 10  # one capture of so many; all of them take minutes


def _rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Put rows in an order of their own, without the numbers that hold in one batch only."""
    rows = rows.drop(INDEXES, strict=False).cast({pl.Enum: pl.String})
    return rows.sort(rows.columns)


@pytest.fixture(scope="module")
def captures() -> list[Path]:
    root = truth.folder()
    if root is None:
        pytest.skip("EGRESS_CAPTURES names no folder of real captures")
    return [case.path for case in truth.cases(root)][::EVERY]


@pytest.mark.parametrize("workers", [2, 4])
def test_several_workers_give_the_rows_of_one(captures: list[Path], workers: int) -> None:
    shared = 0
    for path in captures:
        try:
            one = truth.read(path)
        except InputError:
            continue
        several = truth.read(path, workers=workers)
        assert _rows(several.flows).equals(_rows(one.flows)), path
        assert _rows(several.dns).equals(_rows(one.dns)), path
        assert truth.broken_laws(several.counters) == [], path
        assert several.flows["tick"].is_sorted(), path
        shared += len(several.counters.worker_cpu_seconds) == workers
    assert shared > 20


def test_numbers_of_addresses_and_names_are_dense(captures: list[Path]) -> None:
    """Each batch counts its addresses, names and questions from 0, whichever worker saw them."""
    for path in captures[:20]:
        try:
            drains = truth.read(path, workers=3).drains
        except InputError:
            continue
        for drain in drains:
            for rows, number, value in (
                (drain.flows.frame, "local_id", "local_address"),
                (drain.flows.frame, "remote_id", "remote_address"),
                (drain.flows.frame, "name_id", "name"),
                (drain.dns.frame, "client_id", "client"),
                (drain.dns.frame, "resolver_id", "resolver"),
                (drain.dns.frame, "question_id", "question"),
            ):
                # a question that could not be read has a number too
                pairs = rows.select(number, value).drop_nulls(number).unique()
                assert sorted(pairs[number]) == list(range(len(pairs))), path
                assert pairs[value].n_unique() == len(pairs), path


def test_the_rest_of_a_tunnels_packet_goes_where_its_first_fragment_went(tmp_path: Path) -> None:
    """Only the first fragment has the addresses inside, by which packets are dealt."""
    frames = []
    for number in range(16):
        inner = IP(src=f"10.0.0.{number}", dst="198.51.100.7") / TCP(sport=40000, dport=443)
        inner = inner / Raw(bytes(2000))
        packet = IP(src="192.0.2.1", dst="192.0.2.2", id=number) / GRE() / inner
        frames += [Ether() / piece for piece in fragment(packet, fragsize=1400)]  # type: ignore[no-untyped-call]
    for place, frame in enumerate(frames):
        frame[Ether].src, frame[Ether].dst = "02:00:00:00:00:01", "02:00:00:00:00:02"
        frame.time = 1_700_000_000 + place / 1000
    path = tmp_path / "tunnels.pcap"
    wrpcap(str(path), frames)
    seen = truth.read(path, workers=4)
    assert truth.broken_laws(seen.counters) == []
    # 20 and 20 bytes of headers inside, and 2 000; in two fragments
    assert seen.flows["bytes_out"].to_list() == [2040] * 16
    assert seen.flows["packets_out"].to_list() == [2] * 16
