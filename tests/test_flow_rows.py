from contextlib import nullcontext

import polars as pl
import pytest

from monitor._hotpath import PublicResolvers
from monitor.flow_batch import DNS_SCHEMA, FLOW_SCHEMA
from monitor.flow_rows import DnsRows, FlowRows

NUMBERS = pl.Series("case_id", [1, 0, None, 1], dtype=pl.UInt32)
ROWS = pl.DataFrame({"flow_id": [7, 8, 9, 10], "case_id": NUMBERS, "local_id": [0, 0, 0, 0]})
TOLD = {
    "case_id": pl.DataFrame({"evidence": ["dns", "asn"], "country": ["DE", "CN"]}),
    "local_id": pl.DataFrame({"workload": ["api"]}),
}


def test_whole_columns_are_those_of_the_numbers_in_the_order_of_the_contract() -> None:
    frame = FlowRows(ROWS, TOLD).frame
    assert frame.columns == ["flow_id", "local_id", "workload", "country", "evidence", "case_id"]
    assert frame.rows() == [
        (7, 0, "api", "CN", "asn", 1),
        (8, 0, "api", "DE", "dns", 0),
        (9, 0, "api", None, None, None),
        (10, 0, "api", "CN", "asn", 1),
    ]


def test_some_columns_of_some_rows() -> None:
    rows = FlowRows(ROWS, TOLD)
    assert rows.select(["country", "flow_id"], [3, 1]).rows() == [("CN", 10), ("DE", 8)]
    assert rows.select(["workload"], []).rows() == []


ADDRESS = bytes(16)


def test_numbers_of_which_nothing_is_told_are_refused() -> None:
    numbers = {"local_id": [0, 0], "remote_id": [0, 1]}
    rows = pl.DataFrame(numbers, schema=dict.fromkeys(numbers, pl.UInt32))
    nothing = pl.DataFrame(schema=FLOW_SCHEMA).drop(*numbers, "remote_address").clear(2)
    found = rows[["local_id"]]
    for addresses, refused in (([ADDRESS], True), ([ADDRESS, ADDRESS], False)):
        told = {"remote_id": pl.DataFrame({"remote_address": addresses})}
        flows = FlowRows(rows.hstack(nothing), told)
        with pytest.raises(ValueError, match="not all of it: remote_address") if refused else nullcontext():
            PublicResolvers([]).out_of_sight(flows.native, found, [], [])
    with pytest.raises(ValueError, match='no column of numbers "name_id"'):
        _ = FlowRows(rows, {"name_id": pl.DataFrame({"name": ["a", "b"]})}).native


def test_whole_columns_stay_as_they_are() -> None:
    rows = FlowRows.of(ROWS)
    assert rows.frame is ROWS
    assert FlowRows.of(rows) is rows


def test_dns_rows_have_their_names_by_number_too() -> None:
    numbers = {"question_id": [0, 1, 0], "owner_id": [None, 1, 0]}
    types = {"kind_code": pl.UInt8, "question_id": pl.UInt32, "owner_id": pl.UInt32}
    told = {
        "question_id": pl.DataFrame({"question": ["a.example", None]}),
        "owner_id": pl.DataFrame({"owner": ["b", "c"]}),
    }
    rows = DnsRows(pl.DataFrame({"kind_code": [0, 1, 1]} | numbers, schema=types), told)
    frame = rows.plus([], {"question_id": pl.DataFrame({"domain": ["example", None]})}).frame
    assert frame["kind"].dtype == DNS_SCHEMA["kind"]
    assert frame.columns == ["kind", "question", "question_id", "owner", "domain"]
    assert frame.rows() == [
        ("question", "a.example", 0, None, "example"),
        ("answer", None, 1, "c", None),
        ("answer", "a.example", 0, "b", "example"),
    ]
