"""What is learnt is allowed, and nothing else; what comes from the wire cannot widen or break a policy."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from monitor.commands.diff import diff
from monitor.errors import InputError
from monitor.flow_batch import ATTRIBUTED, FLOW_SCHEMA
from monitor.judge.case_rows import parse_row
from monitor.policy import observed as observed_module
from monitor.policy.compare import Difference, compare
from monitor.policy.observed import Observed
from monitor.policy.policy_file import Entry, load_policy
from monitor.policy.propose import literal, propose, quoted
from monitor.records import FlowWriter

PROVIDERS = {"aws", "alibaba", "hetzner", "google", "cloudflare"}
DAY = 86_400
START = 1_780_012_800  # 2026-05-29T00:00:00Z
MIB = 2**20


def flows(*rows: dict[str, Any]) -> pl.DataFrame:
    """Make a batch; `day` is how many days after START a row is, `flow` its flow_id."""
    made = []
    for number, written in enumerate(rows):
        given = {key: value for key, value in written.items() if key not in ("day", "later")}
        tick = START + DAY * written.get("day", 0)
        row = {**parse_row(given, "flows", PROVIDERS, tick), "flow_id": number}
        row["tick"] = tick * 1000
        if written.get("later"):  # not the row with the connection's first packet
            row["started"] -= 10**9
        made.append(row)
    schema = {**FLOW_SCHEMA, **ATTRIBUTED}
    return pl.DataFrame({name: [row[name] for row in made] for name in schema}, schema=schema)


def observe(*rows: dict[str, Any]) -> Observed:
    seen = Observed()
    seen.write(flows(*rows))
    return seen


def policy_of(seen: Observed, folder: Path) -> list[Entry]:
    path = folder / "policy.yml"
    path.write_text(propose(seen, ["test"]), encoding="utf-8")
    return load_policy(path, providers=PROVIDERS, workloads=set())


def difference(seen: Observed, policy: list[Entry]) -> Difference:
    return compare(seen.rows, policy)


BACKUP = {"workload": "api", "provider": "aws", "country": "DE", "name": "a.example", "payload_out": "3MiB"}


def test_what_was_learnt_is_allowed(tmp_path: Path) -> None:
    seen = observe(
        BACKUP,
        {"workload": "web", "initiator": "remote", "local_port": 443, "published": True, "payload_out": 10},
        {"workload": "api", "provider": "none", "country": "none", "protocol": "icmp", "remote_port": 0,
         "local_port": 0, "payload_out": 64},
        {"workload": "db", "initiator": "unknown", "local_port": 5432, "remote_port": 50000},
    )  # fmt: skip
    found = difference(seen, policy_of(seen, tmp_path))
    assert (found.new, found.more, found.unused) == ([], [], [])


@pytest.mark.parametrize(
    ("differs", "field"),
    [
        ({"workload": "db"}, None),
        ({"provider": "alibaba"}, "provider"),
        ({"country": "CN"}, "country"),
        ({"country": "none"}, "country"),
        ({"name": "b.example"}, "name"),
        ({"name": "none"}, "name"),
        ({"remote_port": 8443}, "remote_port"),
        ({"protocol": "udp"}, "protocol"),
        ({"via": "proxy"}, None),
        ({"initiator": "remote", "local_port": 443}, "initiator"),
    ],
)
def test_each_thing_that_differs_is_new(differs: dict[str, Any], field: str | None, tmp_path: Path) -> None:
    policy = policy_of(observe(BACKUP), tmp_path)
    found = difference(observe({**BACKUP, **differs}), policy)
    if "via" in differs:  # an entry without `via` says nothing about it
        assert found.new == []
        return
    assert len(found.new) == 1
    assert found.is_new
    fields = {condition.field.name for condition in found.new[0].because}
    assert (field in fields) if field else found.new[0].nearest is None
    assert found.unused == policy


def test_a_day_with_more_than_allowed_is_told(tmp_path: Path) -> None:
    """Twice the most of a day, as a power of two: 3 MiB make 8 MiB."""
    policy = policy_of(observe(BACKUP, {**BACKUP, "day": 1, "payload_out": "2MiB"}), tmp_path)
    assert policy[0].sent_per_day == 8 * MIB
    line = observe({**BACKUP, "payload_out": "8MiB"}, {**BACKUP, "day": 1, "payload_out": "8MiB"})
    assert not difference(line, policy).is_new
    found = difference(observe({**BACKUP, "payload_out": 8 * MIB + 1}), policy)
    assert [(str(more.day), more.sent) for more in found.more] == [("2026-05-29", 8 * MIB + 1)]


def test_sums_of_an_edge_are_those_of_its_rows() -> None:
    rows = observe(BACKUP, {**BACKUP, "payload_in": 7, "later": True}).rows
    sums = rows.select("payload_out", "payload_in", "connections").rows()
    assert sums == [(6 * MIB, 7, 1)]


def test_knocks_without_an_answer_are_nobodys_talk() -> None:
    knock = {"workload": "db", "initiator": "remote", "local_port": 5432, "packets_in": 1, "packets_out": 0,
             "bytes_out": 0, "tcp_flags": 2}  # fmt: skip
    refused = {**knock, "packets_out": 1, "tcp_flags": 22}
    opened = {**knock, "packets_in": 2, "packets_out": 1, "tcp_flags": 18}
    assert observe(knock, refused).rows.is_empty()
    assert observe(opened).rows.height == 1
    assert observe({"scope": "internal", "payload_out": 5}).rows.is_empty()


def test_a_packet_out_of_the_blue_that_we_reset_allows_nothing() -> None:
    """A closed port answers an ACK with a RST (RFC 9293 section 3.10.7.1), whichever port is lower."""
    knock = {"workload": "db", "initiator": "unknown", "remote_port": 80, "local_port": 50_000,
             "packets_in": 1, "packets_out": 1, "payload_out": 0}  # fmt: skip
    assert observe({**knock, "tcp_flags": 0x14}).rows.is_empty()
    with_data = {**knock, "tcp_flags": 0x1C, "payload_in": 500}
    assert observe(with_data).rows.is_empty()
    # connections that were there before us: acknowledged, and reset after we sent something
    assert observe({**knock, "tcp_flags": 0x10}).rows["initiator"].to_list() == ["local"]
    assert observe({**with_data, "payload_out": 1}).rows["initiator"].to_list() == ["local"]


@pytest.mark.parametrize(("local_port", "remote_port"), [(65_093, 443), (57_093, 8443), (32_768, 32_768)])
def test_ports_whose_sum_is_65536_are_ports(local_port: int, remote_port: int, tmp_path: Path) -> None:
    seen = observe({**BACKUP, "local_port": local_port, "remote_port": remote_port})
    assert seen.rows["port"].to_list() == [remote_port]
    policy = policy_of(observe({**BACKUP, "remote_port": remote_port}), tmp_path)
    assert not difference(seen, policy).is_new


HOSTILE = [
    "*", "?", "a*.example", "none", "ANY", "sanctioned", 'say "hi"', "back\\slash", "line\nbreak",
    "\u202eevil",     "# comment", "- x", "{a: b}", "no", "1e9", "&anchor", "*alias", "\x00",
    "\U0001f600.example", "x" * 253, "",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_allows_nothing_but_itself(name: str, tmp_path: Path) -> None:
    seen = Observed()
    frame = flows(BACKUP).with_columns(pl.lit(name).alias("name"))
    seen.write(frame)
    policy = policy_of(seen, tmp_path)
    text = (tmp_path / "policy.yml").read_text(encoding="utf-8")
    assert text.isascii()
    assert [line for line in text.splitlines() if "evil" in line and "\\" not in line] == []
    assert not difference(seen, policy).is_new
    assert difference(observe({**BACKUP, "name": "other.example.com"}), policy).is_new
    assert difference(observe({**BACKUP, "name": "none"}), policy).is_new


@pytest.mark.parametrize("text", HOSTILE)
def test_quoted_text_is_read_back_by_another_reader(text: str) -> None:
    if "\x00" in text or text in ("*", "none"):  # NUL is escaped too: YAML 1.2 section 5.7 allows \x00
        assert yaml.safe_load(quoted(text)) == text
    assert yaml.safe_load(f"- {quoted(text)}") == [text]
    assert "\n" not in quoted(text)
    assert "*" not in literal(text)


def test_many_names_become_their_domains_and_then_any(tmp_path: Path) -> None:
    hosts = [{**BACKUP, "name": f"h{number}.cdn.example"} for number in range(20)]
    policy = policy_of(observe(*hosts), tmp_path)
    assert not difference(observe({**BACKUP, "name": "new.cdn.example"}), policy).is_new
    assert difference(observe({**BACKUP, "name": "new.other.test"}), policy).is_new
    domains = [{**BACKUP, "name": f"www.d{number}.example"} for number in range(20)]
    policy_of(observe(*domains), tmp_path)
    assert "20 names of 20 domains, so none is named" in (tmp_path / "policy.yml").read_text()


def test_memory_is_bounded_and_the_heavy_rows_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(observed_module, "MAX_ROWS", 40)
    monkeypatch.setattr(observed_module, "MAX_WAITING", 50)
    seen = observe(BACKUP)
    for number in range(300):
        light = {**BACKUP, "workload": f"10.0.{number // 250}.{number % 250}", "payload_out": 1}
        seen.write(flows({**light, "name": f"n{number}.example", "remote_port": number + 1}))
    assert seen.rows.height <= 40
    assert seen.folded > 0
    assert int(seen.rows["payload_out"].sum()) == 3 * MIB + 300, "nothing is lost of the sums"
    assert "a.example" in seen.rows["name"].to_list()
    assert "Not whole" in propose(seen, ["test"])


def test_a_policy_with_folded_workloads_is_read_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(observed_module, "MAX_ROWS", 4)
    light = [{**BACKUP, "workload": f"10.0.0.{number}", "payload_out": 1} for number in range(1, 20)]
    seen = observe(*[{**BACKUP, "workload": name} for name in ("api", "web")], *light)
    path = tmp_path / "policy.yml"
    path.write_text(propose(seen, ["test"]), encoding="utf-8")
    assert "(others)" in path.read_text(encoding="utf-8")
    policy = load_policy(path, providers=PROVIDERS, workloads={"api", "web"})
    assert not difference(seen, policy).is_new


def test_diff_says_that_it_did_not_compare_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(observed_module, "MAX_ROWS", 4)
    policy, days = tmp_path / "policy.yml", tmp_path / "days.parquet"
    policy.write_text("policy: 1\nallow:\n- match: {initiator: local}\n  sent_per_day: 1MiB\n")
    # 3 MiB on each day; of 20 the half of 4 rows keeps its day
    for count, compared, is_folded in ((3, 3, False), (20, 2, True)):
        with FlowWriter(days) as writer:
            writer.write(flows(*[{**BACKUP, "day": day} for day in range(count)]))
        diff(policy, [], [days], None, [], as_json=False)
        out, err = capsys.readouterr()
        assert f"{compared} times more than allowed" in out
        assert ("were folded" in err) == is_folded


def test_the_same_twice_gives_the_same_text() -> None:
    rows = [BACKUP, {**BACKUP, "workload": "b"}, {**BACKUP, "provider": "hetzner", "name": "z.example"}]
    assert propose(observe(*rows), ["x"]) == propose(observe(*reversed(rows)), ["x"])


def test_nothing_seen_allows_nothing(tmp_path: Path) -> None:
    assert policy_of(Observed(), tmp_path) == []
    assert difference(observe(BACKUP), []).is_new


BROKEN = {
    "policy: 2\nallow: []": "1: policy: Input should be 1",
    "policy: 1\nalow: []": "2: unknown key 'alow'; did you mean 'allow'?",
    "policy: 1\nallow:\n- match: {worklaod: api}": "3: unknown field 'worklaod'; did you mean 'workload'?",
    "policy: 1\nallow:\n- match: {provider: alibba}": "3: the catalogue has no provider 'alibba'; did",
    "policy: 1\nallow:\n- match: {workload: api}\n- match: {country: cn}": "4: 'cn' is not a country code",
    "policy: 1\nallow:\n- match: {initiator: lokal}": "3: initiator is never 'lokal'; did you mean 'local'?",
    "policy: 1\nallow:\n- match: {}": "3: an entry that allows everything; name at least a workload",
    "policy: 1\nallow:\n- match: {workload: api}\n  sent_per_day: much": "4: allow.0.sent_per_day: 'much'",
    "policy: 1\nallow:\n- match: {workload: &a api}\n- match: {workload: *a}": "4: aliases (*) are not",
    "policy: 1\nallow: ]": "2: not YAML",
    "": "1: empty; a policy begins with 'policy: 1'",
    "- a list": "1: expected keys and values, found list",
}  # fmt: skip


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_policy_is_told_with_its_line_and_the_right_word(text: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_policy(path, providers=PROVIDERS, workloads=set())
    assert str(caught.value).startswith(f"{path}:{BROKEN[text].split(':')[0]}:"), caught.value
    assert BROKEN[text].split(": ", 1)[1] in str(caught.value)


def test_a_workload_that_is_not_configured_is_told(tmp_path: Path) -> None:
    path = tmp_path / "policy.yml"
    path.write_text("policy: 1\nallow:\n- match: {workload: apy}\n")
    with pytest.raises(
        InputError, match=r":3: the configuration has no workload 'apy'; did you mean 'api'\?"
    ):
        load_policy(path, providers=PROVIDERS, workloads={"api"})
