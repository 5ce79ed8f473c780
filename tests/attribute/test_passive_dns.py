import hashlib
from ipaddress import ip_address
from pathlib import Path

import pytest

from monitor.attribute import dns_state
from monitor.attribute.addresses import parse
from monitor.attribute.dns_memory import DnsMemory, Found
from monitor.attribute.resolvers import Resolvers
from monitor.flow_rows import DnsRows, FlowRows

from .frames import NO_DNS, dns, flows, told

CLIENT, OTHER, RESOLVER = parse("10.0.1.1"), parse("10.0.1.2"), parse("10.0.0.2")
SERVER = parse("203.0.113.9")
SECOND = 10**9
NOON = 1_700_000_000 * SECOND
DAY = 24 * 3600


def empty(**bounds: int) -> DnsMemory:
    return DnsMemory(Resolvers(), **bounds)


def learnt(*answers: tuple[int, str], ttl: int = 60) -> DnsMemory:
    """Passive DNS where the client was told these names for the server, at these seconds after noon."""
    memory = empty()
    for seconds, name in answers:
        memory.kept.learn(CLIENT, SERVER, NOON + seconds * SECOND, ttl, (name,), direct=True)
    return memory


def found(name: str, seconds: int) -> Found:
    return Found((name,), False, NOON + seconds * SECOND)


def name_at(memory: DnsMemory, seconds: int, client: bytes = CLIENT) -> str | None:
    found = memory.kept.find(client, SERVER, NOON + seconds * SECOND)
    return found[0][0] if found else None


def test_the_newest_answer_not_later_than_the_flow() -> None:
    memory = learnt((0, "a.example"), (10, "b.example"))
    assert [name_at(memory, second) for second in (-1, 0, 9, 10, 11)] == [
        None, "a.example", "a.example", "b.example", "b.example"
    ]  # fmt: skip


def test_a_repeated_answer_keeps_its_first_moment_and_moves_its_last() -> None:
    memory = learnt((0, "a.example"), (50, "a.example"))
    assert memory.kept.find(CLIENT, SERVER, NOON + 20 * SECOND) == found("a.example", 20)
    assert memory.kept.find(CLIENT, SERVER, NOON + 70 * SECOND) == found("a.example", 50)


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
    assert memory.kept.find(CLIENT, parse("203.0.113.10"), NOON + SECOND) is None


def test_what_a_resolver_was_told_counts_for_those_who_ask_it() -> None:
    memory = empty()
    memory.kept.ask(CLIENT, RESOLVER)
    memory.kept.learn(RESOLVER, SERVER, NOON, 60, ("a.example",), direct=True)
    assert memory.kept.find(CLIENT, SERVER, NOON) == Found(("a.example",), True, NOON)
    assert memory.kept.find(OTHER, SERVER, NOON) is None
    memory.kept.learn(CLIENT, SERVER, NOON, 60, ("own.example",), direct=True)
    assert memory.kept.find(CLIENT, SERVER, NOON) == Found(("own.example",), False, NOON)


def test_what_an_unlisted_server_told_a_resolver_is_not_the_resolvers_own_evidence() -> None:
    memory = empty()
    assert not memory.kept.learn(RESOLVER, SERVER, NOON, 60, ("a.example",), direct=False)  # nobody asks it
    memory.kept.ask(CLIENT, RESOLVER)
    assert memory.kept.learn(RESOLVER, SERVER, NOON, 60, ("a.example",), direct=False)
    assert name_at(memory, 1) == "a.example"
    assert name_at(memory, 1, RESOLVER) is None


def test_a_configured_resolver_counts_for_clients_never_seen_asking() -> None:
    memory = DnsMemory(Resolvers([ip_address("10.0.0.2")]))
    memory.kept.learn(RESOLVER, SERVER, NOON, 60, ("a.example",), direct=False)
    assert name_at(memory, 1) == "a.example"
    assert name_at(memory, 1, RESOLVER) is None
    memory.kept.ask(CLIENT, parse("8.8.8.8"))
    assert name_at(memory, 1) is None  # it asks somebody else
    assert name_at(memory, 1, OTHER) == "a.example"


def test_answers_of_a_run_whose_clock_was_ahead_do_not_stand_before_new_ones(tmp_path: Path) -> None:
    path, year = tmp_path / "passive-dns", 365 * DAY
    dns_state.save(path, learnt((year, "x.example"), (year + 1, "y.example"), (year + 2, "z.example")))
    memory = empty()
    assert dns_state.load(path, memory) is None
    memory.kept.learn(CLIENT, SERVER, NOON, 60, ("a.example",), direct=True)
    assert name_at(memory, 1) == "a.example"
    memory.kept.learn(CLIENT, SERVER, NOON + (year - 5) * SECOND, 60, ("b.example",), direct=True)
    assert name_at(memory, year + 5) == "b.example"


def test_the_bound_holds_and_is_counted() -> None:
    memory = empty(entries=100)
    for number in range(1000):
        memory.kept.learn(CLIENT, number.to_bytes(16), NOON, 60, (f"{number}.example",), direct=True)
    assert len(memory) <= 100
    assert len(memory) + memory.given_up()["passive_dns"] == 1000


def test_long_names_reach_the_other_bound() -> None:
    memory = empty(entries=100_000, text=10_000)
    for number in range(1000):
        memory.kept.learn(CLIENT, number.to_bytes(16), NOON, 60, ("x" * 250,), direct=True)
    assert len(memory) <= 10_000 // 250 + 2


def test_it_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "passive-dns"
    before = learnt((0, "a.example"), (10, "b.example"))
    before.kept.ask(OTHER, RESOLVER)
    before.kept.learn(RESOLVER, SERVER, NOON, 60, ("c.example", "d.example"), direct=False)
    assert before.kept.is_fresh(CLIENT, "a.example")
    before.kept.restore_habit(CLIENT, (19_675, 30, 28, 5, 4))
    dns_state.save(path, before)
    assert path.stat().st_mode & 0o777 == 0o600
    after = empty()
    assert dns_state.load(path, after) is None
    for client in (CLIENT, OTHER, RESOLVER):
        for seconds in (-1, 0, 5, 10, 70, DAY, 2 * DAY):
            moment = NOON + seconds * SECOND
            assert after.kept.find(client, SERVER, moment) == before.kept.find(client, SERVER, moment)
    assert after.kept.find(OTHER, SERVER, NOON) == Found(("c.example", "d.example"), True, NOON)
    assert not after.kept.is_fresh(CLIENT, "a.example")
    assert after.kept.is_fresh(CLIENT, "b.example")
    assert after.kept.habits() == before.kept.habits()


def test_no_file_yet_is_no_warning(tmp_path: Path) -> None:
    assert dns_state.load(tmp_path / "none", empty()) is None


def lay(path: Path, form: int, *lines: str) -> None:
    """Write a file of passive DNS as a run would."""
    body = "".join(f"{line}\n" for line in lines).encode()
    digest = hashlib.sha256(body).hexdigest()
    path.write_bytes(f"egress-monitor-passive-dns-{form} {digest}\n".encode() + body)


def test_a_file_of_the_first_format_is_read(tmp_path: Path) -> None:
    """There the names stood beside each address."""
    runs = f'[[{NOON}, {NOON}, {NOON + DAY * SECOND}, ["cdn.example", "a.example"]]]'
    lay(tmp_path / "dns", 1, f'["told", "{(CLIENT + SERVER).hex()}", {runs}]')
    memory = empty()
    assert dns_state.load(tmp_path / "dns", memory) is None
    assert memory.kept.find(CLIENT, SERVER, NOON) == (("cdn.example", "a.example"), False, NOON)


def test_names_that_many_addresses_share_are_kept_once(tmp_path: Path) -> None:
    """20 answers of 400 addresses each behind 15 aliases: 80 KB of names, and 32 MB one by one."""
    path, memory = tmp_path / "dns", empty(text=2**20)
    for answer in range(20):
        memory.kept.restore_chain([f"{answer:010}{place:0240}" for place in range(16)])
        for number in range(400):
            address = (1000 * answer + number).to_bytes(16)
            run = (NOON, NOON, NOON + DAY * SECOND, answer)
            memory.kept.restore_told(CLIENT, address, False, [run])
    memory.kept.restored()
    dns_state.save(path, memory)
    assert path.stat().st_size < 2_000_000
    again = empty(text=2**20)
    assert dns_state.load(path, again) is None
    assert (len(again), again.given_up()["passive_dns"]) == (8000, 0)
    assert again.kept.find(CLIENT, (19_399).to_bytes(16), NOON) == memory.kept.find(
        CLIENT, (19_399).to_bytes(16), NOON
    )


def test_a_damaged_file_is_one_warning(tmp_path: Path) -> None:
    path = tmp_path / "passive-dns"
    dns_state.save(path, learnt((0, "a.example")))
    whole = path.read_bytes()
    broken = [whole[:cut] for cut in range(len(whole))]
    broken += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    for content in [*broken, b"\xff" * 100, b"{}\n"]:
        path.write_bytes(content)
        memory = empty()
        warning = dns_state.load(path, memory)
        assert warning is not None
        assert warning.startswith(f"{path}: ")
        assert "\n" not in warning
        assert len(memory) == 0


def test_a_folder_in_its_place_is_one_warning(tmp_path: Path) -> None:
    warning = dns_state.load(tmp_path, empty())
    assert warning is not None
    assert str(tmp_path) in warning


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "passive-dns"
    dns_state.save(path, learnt((0, "a.example")))
    whole = path.read_bytes()
    (tmp_path / "passive-dns.new").mkdir()
    with pytest.raises(OSError, match=r"passive-dns\.new"):
        dns_state.save(path, learnt((0, "b.example")))
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "line",
    [
        '["told", "00", []]', '["told", "zz", []]', '["asks", "00", []]', '["name", "00"]', '["name"]', "1",
        '["told", "%s", [[1, 2, 3]]]' % ("00" * 32), '["told", "%s", [["1", 2, 3, []]]]' % ("00" * 32),
        '["told", "%s", [[1, 2, 9223372036854775808, []]]]' % ("00" * 32),
        '["told", "%s", []]' % ("00" * 33), "[" * 100_000,
        '["told", "%s", [[1, 2, 3, ["\\ud800.example"]]]]' % ("00" * 32),
        '["told", "%s", [[1, 2, 3, 0]]]' % ("00" * 32), '["told", "%s", [[1, 2, 3, -1]]]' % ("00" * 32),
        '["chain", "a.example"]', '["chain", "00", []]', '["other", "%s", []]' % ("00" * 16),
        '["habit", "%s", [1, 2]]' % ("00" * 16), '["habit", "%s", [1.5, 2, 3, 4, 5]]' % ("00" * 16),
    ],
)  # fmt: skip
def test_a_wrong_line_is_one_warning(tmp_path: Path, line: str) -> None:
    path = tmp_path / "passive-dns"
    lay(path, 2, line)
    warning = dns_state.load(path, memory := empty())
    assert warning == f"{path}: a line is not as expected; passive DNS starts empty"
    assert len(memory) == 0


def test_a_name_is_fresh_once_for_each_client() -> None:
    memory = empty().kept
    assert memory.is_fresh(CLIENT, "x.example")
    assert not memory.is_fresh(CLIENT, "x.example")
    assert memory.is_fresh(OTHER, "x.example")


def test_what_was_asked_long_ago_is_fresh_again_and_counted() -> None:
    memory = empty(names=10)
    for number in range(100):
        assert memory.kept.is_fresh(CLIENT, f"{number}.example")
        if number:
            assert not memory.kept.is_fresh(CLIENT, f"{number - 1}.example")  # asked lately
    assert memory.given_up()["asked_name"] >= 90
    assert memory.kept.is_fresh(CLIENT, "0.example")


def test_a_name_asked_has_the_digest_that_older_states_have() -> None:
    memory = empty().kept
    assert memory.is_fresh(CLIENT, "x.example")
    assert memory.asked() == [hashlib.blake2b(CLIENT + b"x.example", digest_size=12).digest()]


def test_what_each_bound_makes_it_forget_is_counted() -> None:
    memory = empty(clients=10, habits=10, flows=10)
    servers = [parse(f"203.0.113.{number}") for number in range(100)]
    for server in servers:
        memory.kept.ask(server, RESOLVER)
        memory.kept.restore_habit(server, (1, 1, 1, 0, 0))
    # a flow to each of them, after an answer for each
    answers = [answer for number in range(100) for answer in told(0.5, ["a.example"], f"203.0.113.{number}")]
    rows = [{"at": 1, "flow_id": number, "remote_address": f"203.0.113.{number}"} for number in range(100)]
    memory.see(FlowRows(flows(*rows)), DnsRows(dns(*answers)), [0])
    given_up = memory.given_up()
    assert len(memory.kept.habits()) <= 10
    assert len(memory.kept.habits()) + given_up["name_habit"] == 100
    assert len(memory.kept.clients()) + given_up["passive_dns_client"] == 101  # and who asked in the batch
    # a batch may pass the bound at once, and the next one takes its place
    assert given_up["flow_name"] == 0
    assert memory.answer_of(0) is not None  # it is used, and stays
    later = flows(*[row | {"flow_id": 100 + number} for number, row in enumerate(rows)])
    memory.see(FlowRows(later), DnsRows(NO_DNS), [])
    assert memory.given_up()["flow_name"] == 99
    known = [flow for flow in (0, 1, 99, 100, 199) if memory.answer_of(flow) is not None]
    assert known == [0, 100, 199]
