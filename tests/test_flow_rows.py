import polars as pl
import pytest

from monitor._hotpath import PublicResolvers
from monitor.flow_rows import FlowRows

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
    own, told, order = rows.parts(["country", "case_id"])
    assert (own.columns, list(order)) == (["case_id"], ["country", "case_id"])
    assert [(by, table.columns) for by, table in told] == [("case_id", ["country"])]


ADDRESS = bytes(16)


@pytest.mark.parametrize(
    ("by", "addresses", "words"),
    [
        ("remote_id", [ADDRESS], "Invalid dictionary key 1"),
        ("name_id", [ADDRESS, ADDRESS], 'no column of numbers "name_id"'),
    ],
)
def test_numbers_of_which_nothing_is_told_are_refused(by: str, addresses: list[bytes], words: str) -> None:
    numbers = {"local_id": [0, 0], "remote_id": [0, 1]}
    told = {by: pl.DataFrame({"remote_address": addresses})}
    rows = FlowRows(pl.DataFrame(numbers, schema=dict.fromkeys(numbers, pl.UInt32)), told)
    with pytest.raises(ValueError, match=words):
        PublicResolvers([]).out_of_sight(rows.parts(), rows.rows[["local_id"]], [], [])


def test_whole_columns_stay_as_they_are() -> None:
    rows = FlowRows.of(ROWS)
    assert rows.frame is ROWS
    assert FlowRows.of(rows) is rows
