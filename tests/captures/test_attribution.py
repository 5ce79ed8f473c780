"""Names of real flows: those of the DNS answers that they followed, found by a search in plain Python.

tshark's truth says which names were asked for and which addresses were told; when, and to whom, the decoded
rows say, which are themselves held against tshark in `test_real_captures`.
"""

from collections import Counter
from ipaddress import ip_address
from typing import Any

import polars as pl
import pytest

from monitor.address_text import to_packed
from monitor.attribute.attributor import Attributor
from monitor.attribute.catalogue import Catalogue
from monitor.attribute.databases import Databases
from monitor.errors import InputError

from . import truth

SECOND = 10**9
DAY = 86_400 * SECOND
A, CNAME, AAAA = 1, 5, 28


class FlowRows:
    """One capture: its rows, and what attribution made of them."""

    def __init__(self, case: truth.Case, catalogue: Catalogue, databases: Databases) -> None:
        self.case = case
        self.seen = truth.read(case.path)
        # every resolver in it is believed: more flows have a name then
        rows = self.seen.dns
        unicast = rows.filter(~pl.col("resolver").bin.starts_with(b"\xff")) if rows.height else rows
        servers = [ip_address(packed) for packed in unicast["resolver"].unique().sort()]
        self.resolvers = [getattr(server, "ipv4_mapped", None) or server for server in servers]
        stage = Attributor(catalogue, databases, {}, {}, {}, self.resolvers)
        parts = [stage.attribute(drain.flows, drain.dns)[0] for drain in self.seen.drains]
        self.flows = pl.concat([part.frame for part in parts])


@pytest.fixture(scope="module")
def captures() -> list[FlowRows]:
    root = truth.folder()
    if root is None:
        pytest.skip("NOT RUN: names of real flows; EGRESS_CAPTURES names no folder of real captures")
    catalogue = Catalogue.load()
    databases = Databases(catalogue=catalogue)
    databases.start()
    found = []
    for case in truth.cases(root):
        try:
            found.append(FlowRows(case, catalogue, databases))
        except InputError as error:
            if not truth.is_capture_error(error):
                raise
    databases.stop()
    return found


def answers(seen: truth.Seen, resolvers: set[bytes]) -> list[dict[str, Any]]:
    """The address records that count, each with the names that lead to it, in the order of time."""
    rows = seen.dns.filter((pl.col("kind") == "answer") & pl.col("matched") & (pl.col("section") == "answer"))
    rows = rows.filter((pl.col("rcode") == 0) & pl.col("type").is_in([A, CNAME, AAAA]))
    messages: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows.with_columns(pl.col("time", "tick").to_physical()).iter_rows(named=True):
        if row["resolver"] in resolvers:
            key = (row["time"], row["client"], row["client_port"], row["query_id"], row["question"])
            messages.setdefault(key, []).append(row)
    found = []
    for (time, client, _, _, question), records in messages.items():
        aliases = {row["owner"].lower(): row["value"].lower() for row in records if row["type"] == CNAME}
        chain, name = [question], question
        while name in aliases and aliases[name] not in chain and len(chain) < 16:
            name = aliases[name]
            chain.append(name)
        for row in records:
            if row["address"] is not None and row["owner"].lower() in chain:
                moment = max(time, row["tick"] * 10**6)
                found.append({"client": client, "address": row["address"], "time": moment,
                              "until": moment + row["ttl"] * SECOND + DAY, "name": question})  # fmt: skip
    return sorted(found, key=lambda answer: answer["time"])


def expected(flow: dict[str, Any], told: list[dict[str, Any]]) -> str | None:
    """The name of the newest answer to this client for this address, not later than the flow's start."""
    fitting = [
        answer["name"]
        for answer in told
        if answer["client"] == flow["local_address"]
        and answer["address"] == flow["remote_address"]
        and answer["time"] <= flow["started"] <= answer["until"]
    ]
    return fitting[-1] if fitting else None


def test_the_name_is_that_of_the_answer_that_the_flow_followed(
    captures: list[FlowRows], capsys: pytest.CaptureFixture[str]
) -> None:
    counts: Counter[str] = Counter()
    wrong = []
    for capture in captures:
        told = answers(capture.seen, set(map(to_packed, capture.resolvers)))
        names = set(capture.case.truth["dns_queries"])
        flows = capture.flows.sort("tick", maintain_order=True).unique("flow_id", keep="first")
        for flow in flows.with_columns(pl.col("started").to_physical()).iter_rows(named=True):
            name = expected(flow, told)
            counts["followed an answer"] += name is not None
            shared = flow["dns_name"] is not None and name is None
            if shared:  # told to the resolver that this client asks
                counts["followed an answer to their resolver"] += 1
                shared = any(answer["address"] == flow["remote_address"] for answer in told)
            if flow["dns_name"] != name and not shared:
                wrong.append((capture.case.truth["capture"], name, flow["dns_name"]))
            # no name that tshark did not see asked for
            if flow["dns_name"] is not None and flow["dns_name"] not in {one.lower() for one in names}:
                wrong.append((capture.case.truth["capture"], "nobody asked", flow["dns_name"]))
    with capsys.disabled():
        print(f"\nreal flows that {', '.join(f'{what}: {count:,}' for what, count in counts.items())}")
    assert counts["followed an answer"] > 20
    assert wrong == []


def test_disagreement_is_rare(captures: list[FlowRows], capsys: pytest.CaptureFixture[str]) -> None:
    flows = pl.concat(
        [
            # of every scope: on the way between strangers the one who begins counts as local
            capture.flows.unique("flow_id", keep="last", maintain_order=True)
            .select("service_provider", "network_provider", "name", "disagreement")
            for capture in captures
        ]
    )
    known = flows.filter(
        pl.col("service_provider").is_not_null() & pl.col("network_provider").is_not_null()
        & ~pl.col("network_provider").str.contains("^as[0-9]+$")
    )  # fmt: skip
    differ = known.filter(pl.col("service_provider") != pl.col("network_provider")).height
    disagree = flows.filter("disagreement")
    with capsys.disabled():
        print(
            f"\nof {known.height:,} real flows whose name and network are both in the catalogue, {differ:,} "
            f"differ ({differ / known.height:.1%}); {disagree.height} of {flows.height:,} flows disagree "
            f"({disagree.height / known.height:.2%} of the known)"
        )
        for row in disagree.group_by("service_provider", "network_provider", "name").len().sort("len").rows():
            print("  ", *row)
    assert known.height > 40
    # seen: cdnjs.cloudflare.com in Comcast's network and accounts.google.com in Tencent's, both claims alone
    assert disagree.height <= 0.05 * known.height
