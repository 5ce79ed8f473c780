from pathlib import Path

import pytest

from monitor.attribute import dns_state
from monitor.attribute.addresses import parse
from monitor.attribute.name_habit import NameHabits
from monitor.attribute.passive_dns import SECOND, Found, PassiveDns
from monitor.attribute.questions import AskedNames

CLIENT, OTHER, RESOLVER = parse("10.0.1.1"), parse("10.0.1.2"), parse("10.0.0.2")
SERVER = parse("203.0.113.9")
NOON = 1_700_000_000 * SECOND
DAY = 24 * 3600


def learnt(*answers: tuple[int, str], ttl: int = 60) -> PassiveDns:
    """Passive DNS where the client was told these names for the server, at these seconds after noon."""
    memory = PassiveDns()
    for seconds, name in answers:
        memory.learn(CLIENT, SERVER, NOON + seconds * SECOND, ttl, (name,), direct=True)
    return memory


def name_at(memory: PassiveDns, seconds: int, client: bytes = CLIENT) -> str | None:
    found = memory.find(client, SERVER, NOON + seconds * SECOND)
    return found.chain[0] if found else None


def test_the_newest_answer_not_later_than_the_flow() -> None:
    memory = learnt((0, "a.example"), (10, "b.example"))
    assert [name_at(memory, second) for second in (-1, 0, 9, 10, 11)] == [
        None, "a.example", "a.example", "b.example", "b.example"
    ]  # fmt: skip


def test_a_repeated_answer_keeps_its_first_moment_and_moves_its_last() -> None:
    memory = learnt((0, "a.example"), (50, "a.example"))
    assert memory.find(CLIENT, SERVER, NOON + 20 * SECOND) == Found(("a.example",), False, NOON + 20 * SECOND)
    assert memory.find(CLIENT, SERVER, NOON + 70 * SECOND) == Found(("a.example",), False, NOON + 50 * SECOND)


def test_a_name_lives_its_ttl_and_a_day() -> None:
    memory = learnt((0, "a.example"), ttl=300)
    assert name_at(memory, 300 + DAY) == "a.example"
    assert name_at(memory, 301 + DAY) is None


@pytest.mark.parametrize(("ttl", "seconds"), [(2**31 - 1, 7 * DAY), (2**31, 0), (2**32 - 1, 0)])
def test_extreme_ttls(ttl: int, seconds: int) -> None:  # RFC 8767 section 4, RFC 2181 section 8
    memory = learnt((0, "a.example"), ttl=ttl)
    assert name_at(memory, seconds + DAY) == "a.example"
    assert name_at(memory, seconds + DAY + 1) is None


def test_an_answer_after_a_gap_does_not_fill_the_gap() -> None:
    memory = learnt((0, "a.example"), (3 * DAY, "a.example"), ttl=0)
    assert name_at(memory, 2 * DAY) is None
    assert name_at(memory, 3 * DAY) == "a.example"


def test_a_late_answer_takes_its_place_in_time() -> None:
    memory = learnt((10, "b.example"), (5, "a.example"))
    assert [name_at(memory, second) for second in (4, 7, 12)] == [None, "a.example", "b.example"]


def test_another_client_and_another_address_know_nothing() -> None:
    memory = learnt((0, "a.example"))
    assert name_at(memory, 5, OTHER) is None
    assert memory.find(CLIENT, parse("203.0.113.10"), NOON + SECOND) is None


def test_what_a_resolver_was_told_counts_for_those_who_ask_it() -> None:
    memory = PassiveDns()
    memory.ask(CLIENT, RESOLVER)
    memory.learn(RESOLVER, SERVER, NOON, 60, ("a.example",), direct=True)
    assert memory.find(CLIENT, SERVER, NOON) == Found(("a.example",), True, NOON)
    assert memory.find(OTHER, SERVER, NOON) is None
    memory.learn(CLIENT, SERVER, NOON, 60, ("own.example",), direct=True)
    assert memory.find(CLIENT, SERVER, NOON) == Found(("own.example",), False, NOON)


def test_what_an_unlisted_server_told_a_resolver_is_not_the_resolvers_own_evidence() -> None:
    memory = PassiveDns()
    assert not memory.learn(RESOLVER, SERVER, NOON, 60, ("a.example",), direct=False)  # nobody asks it
    memory.ask(CLIENT, RESOLVER)
    assert memory.learn(RESOLVER, SERVER, NOON, 60, ("a.example",), direct=False)
    assert name_at(memory, 1) == "a.example"
    assert name_at(memory, 1, RESOLVER) is None


def test_a_configured_resolver_counts_for_clients_never_seen_asking() -> None:
    memory = PassiveDns(everybody=(RESOLVER,))
    memory.learn(RESOLVER, SERVER, NOON, 60, ("a.example",), direct=False)
    assert name_at(memory, 1) == "a.example"
    assert name_at(memory, 1, RESOLVER) is None
    memory.ask(CLIENT, parse("8.8.8.8"))
    assert name_at(memory, 1) is None  # it asks somebody else
    assert name_at(memory, 1, OTHER) == "a.example"


def test_the_bound_holds_and_is_counted() -> None:
    memory = PassiveDns(entries=100)
    for number in range(1000):
        memory.learn(CLIENT, number.to_bytes(16), NOON, 60, (f"{number}.example",), direct=True)
    assert len(memory) <= 100
    assert len(memory) + memory.evicted == 1000


def test_long_names_reach_the_other_bound() -> None:
    memory = PassiveDns(entries=100_000, text_bytes=10_000)
    for number in range(1000):
        memory.learn(CLIENT, number.to_bytes(16), NOON, 60, ("x" * 250,), direct=True)
    assert len(memory) <= 10_000 // 250 + 2


def test_it_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "passive-dns"
    before, asked = learnt((0, "a.example"), (10, "b.example")), AskedNames()
    before.ask(OTHER, RESOLVER)
    before.learn(RESOLVER, SERVER, NOON, 60, ("c.example", "d.example"), direct=False)
    assert asked.is_fresh(CLIENT, "a.example")
    dns_state.save(path, before, asked, NameHabits())
    assert path.stat().st_mode & 0o777 == 0o600
    after, asked_after = PassiveDns(), AskedNames()
    assert dns_state.load(path, after, asked_after, NameHabits()) is None
    for client in (CLIENT, OTHER, RESOLVER):
        for seconds in (-1, 0, 5, 10, 70, DAY, 2 * DAY):
            moment = NOON + seconds * SECOND
            assert after.find(client, SERVER, moment) == before.find(client, SERVER, moment)
    assert after.find(OTHER, SERVER, NOON) == Found(("c.example", "d.example"), True, NOON)
    assert not asked_after.is_fresh(CLIENT, "a.example")
    assert asked_after.is_fresh(CLIENT, "b.example")


def test_no_file_yet_is_no_warning(tmp_path: Path) -> None:
    assert dns_state.load(tmp_path / "none", PassiveDns(), AskedNames(), NameHabits()) is None


def test_a_damaged_file_is_one_warning(tmp_path: Path) -> None:
    path = tmp_path / "passive-dns"
    dns_state.save(path, learnt((0, "a.example")), AskedNames(), NameHabits())
    whole = path.read_bytes()
    broken = [whole[:cut] for cut in range(len(whole))]
    broken += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    for content in [*broken, b"\xff" * 100, b"{}\n"]:
        path.write_bytes(content)
        memory = PassiveDns()
        warning = dns_state.load(path, memory, AskedNames(), NameHabits())
        assert warning is not None
        assert warning.startswith(f"{path}: ")
        assert "\n" not in warning
        assert len(memory) == 0


def test_a_folder_in_its_place_is_one_warning(tmp_path: Path) -> None:
    warning = dns_state.load(tmp_path, PassiveDns(), AskedNames(), NameHabits())
    assert warning is not None
    assert str(tmp_path) in warning


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "passive-dns"
    dns_state.save(path, learnt((0, "a.example")), AskedNames(), NameHabits())
    whole = path.read_bytes()
    (tmp_path / "passive-dns.new").mkdir()
    with pytest.raises(OSError, match=r"passive-dns\.new"):
        dns_state.save(path, learnt((0, "b.example")), AskedNames(), NameHabits())
    assert path.read_bytes() == whole
