"""Every real capture at hand: no crash, the laws hold, names, answers and bytes as tshark found them."""

from collections import Counter
from pathlib import Path

import polars as pl
import pytest
import yaml

from monitor.errors import InputError

from . import truth

KNOWN = Path(__file__).with_name("known.yml")
RECORD_TYPES = {1: "A", 28: "AAAA", 5: "CNAME"}


NAME_SOURCES = {"sni": "tls_sni", "quic_sni": "quic_sni", "dtls_sni": "dtls_sni"}


def names_differ(case: truth.Case, seen: truth.Seen) -> bool:
    """Whether the server names in TLS, QUIC or DTLS are others than tshark's."""
    claimed = set(seen.flows["name"].drop_nulls().to_list())
    for source, column in NAME_SOURCES.items():
        true = {name.lower().rstrip(".") for name in case.truth[column]}
        ours = set(seen.flows.filter(pl.col("name_source") == source)["name"].to_list())
        # behind a CONNECT the same name is claimed twice, and the first claim stands
        if not (true <= claimed and ours <= true):
            return True
    return False


def answers_differ(case: truth.Case, seen: truth.Seen) -> bool:
    """Whether the A, AAAA and CNAME records are others than tshark's."""
    true = {(owner.lower(), kind, value.lower()) for owner, kind, value, *_ in case.truth["dns_answers"]}
    rows = seen.dns.filter((pl.col("kind") == "answer") & pl.col("type").is_in(list(RECORD_TYPES)))
    ours = {
        ("<root>" if owner == "." else owner, RECORD_TYPES[kind], value)
        for owner, kind, value in rows.select("owner", "type", "value").drop_nulls().iter_rows()
    }
    return true != ours


def bytes_differ(case: truth.Case, seen: truth.Seen) -> bool:
    """Whether frames, bytes or payload of a 5-tuple are others than tshark's, where they can be the same."""
    if not case.is_decoded:
        return False
    ours = {key: sums for key, sums in truth.conversations(seen.flows).items() if key[0] in truth.PROTOCOLS}
    true = truth.true_conversations(case)
    if case.has_fragments:
        return _payload(ours) != _payload(true)
    return ours != true


def _payload(conversations: dict[truth.Conversation, list[int]]) -> dict[truth.Conversation, tuple[int, int]]:
    return {key: (sums[2], sums[5]) for key, sums in conversations.items()}


@pytest.fixture(scope="module")
def cases() -> list[truth.Case]:
    root = truth.folder()
    if root is None:
        pytest.skip("EGRESS_CAPTURES names no folder of real captures")
    found = truth.cases(root)
    assert found, f"no capture with a truth file under {root}"
    return found


@pytest.fixture(scope="module")
def seen(cases: list[truth.Case]) -> dict[str, truth.Seen]:
    found = {}
    for case in cases:
        try:
            found[case.truth["capture"]] = truth.read(case.path)
        except InputError as error:
            if not truth.is_capture_error(error):
                raise
    return found


def test_laws_hold_on_every_capture(seen: dict[str, truth.Seen]) -> None:
    broken = {name: laws for name, one in seen.items() if (laws := truth.broken_laws(one.counters))}
    assert not broken
    for name, one in seen.items():
        sent, received, out, back = one.flows.select(
            pl.col("bytes_out", "bytes_in", "packets_out", "packets_in").sum()
        ).row(0)
        assert sent == sum(one.counters.scope_sent_bytes.values()), name
        assert received == sum(one.counters.scope_received_bytes.values()), name
        assert out + back == sum(one.counters.scope_frames.values()), name


def test_captures_agree_with_tshark(
    cases: list[truth.Case], seen: dict[str, truth.Seen], capsys: pytest.CaptureFixture[str]
) -> None:
    known: dict[str, str] = yaml.safe_load(KNOWN.read_text(encoding="utf-8")) or {}
    tally: Counter[str] = Counter()
    different = {}
    for case in cases:
        name = case.truth["capture"]
        one = seen.get(name)
        if one is None:
            tally["not pcap or pcapng"] += 1
            continue
        checks = {
            "names": names_differ(case, one),
            "answers": answers_differ(case, one),
            "bytes": bytes_differ(case, one),
        }
        tally["bytes compared"] += case.is_decoded
        for what, differs in checks.items():
            tally[f"{what} differ"] += differs
        if any(checks.values()):
            different[name] = [what for what, differs in checks.items() if differs]
    with capsys.disabled():
        print(
            f"\nreal captures: {len(seen)} read, {len(seen) - len(different)} wholly right "
            f"(bytes compared in {tally['bytes compared']}); differing in names {tally['names differ']}, "
            f"in DNS answers {tally['answers differ']}, in bytes {tally['bytes differ']}; "
            f"known with a reason {len(known)}"
        )
    unknown = {name: what for name, what in different.items() if name not in known}
    assert not unknown, "these are right no longer"
    healed = [name for name in known if name in seen and name not in different]
    assert not healed, "these are right now: take them out of known.yml"


def test_pieces_and_whole_give_the_same_rows(cases: list[truth.Case], tmp_path: Path) -> None:
    """The law: one file or several pieces of it, the same rows."""
    columns = ["tick", "flow_id", "bytes_out", "bytes_in", "payload_out", "name", "initiator", "ended"]
    checked = 0
    for case in cases:
        data = case.path.read_bytes()
        if not data.startswith(b"\xd4\xc3\xb2\xa1") or not 3000 < len(data) < 100_000:
            continue
        starts = _records(data)
        if starts is None or len(starts) < 10:
            continue
        middle = starts[len(starts) // 2]
        first, second = tmp_path / "first.pcap", tmp_path / "second.pcap"
        first.write_bytes(data[:middle])
        second.write_bytes(data[:24] + data[middle:])
        whole, pieces = truth.read(case.path), truth.read(first, second)
        assert whole.flows.select(columns).equals(pieces.flows.select(columns)), case.path
        checked += 1
        if checked == 60:
            break
    assert checked > 20


def _records(data: bytes) -> list[int] | None:
    """Where each record of a little-endian pcap starts; None where the file is cut off."""
    starts, at = [], 24
    while at < len(data):
        starts.append(at)
        at += 16 + int.from_bytes(data[at + 8 : at + 12], "little")
    return starts if at == len(data) else None
