"""What is looked up once, and kept under a number."""

from typing import cast

import polars as pl
import pytest

from monitor._hotpath import KnownRows
from monitor.attribute import knowledge
from monitor.attribute.addresses import parse
from monitor.attribute.catalogue import Catalogue
from monitor.attribute.databases import Databases
from monitor.attribute.knowledge import Knowledge

from .frames import FakeCatalogue, FakeDatabases

LONGEST = ".".join(["a" * 63] * 3 + ["b" * 61])  # RFC 1035 section 2.3.4: 253 characters as text


def known(databases: FakeDatabases | None = None) -> Knowledge:
    return Knowledge(cast(Catalogue, FakeCatalogue()), cast(Databases, databases or FakeDatabases()))


def packed(*texts: str) -> pl.Series:
    return pl.Series([parse(text) for text in texts], dtype=pl.Binary)


def test_equal_rows_are_found_out_once() -> None:
    rows = pl.DataFrame({"a": [1, 1, 2, 1, 2], "b": [5, 6, 5, 5, 5]}, {"a": pl.UInt32, "b": pl.UInt32})
    asked: list[int] = []

    def find_out(place: int) -> int:
        asked.append(place)
        return 100 + place

    kept = KnownRows()
    assert pl.DataFrame(kept.numbers(rows, find_out)).to_series().to_list() == [100, 101, 102, 100, 102]
    assert asked == [0, 1, 2]
    again = pl.DataFrame(kept.numbers(rows.reverse(), find_out)).to_series()
    assert again.to_list() == [102, 100, 102, 101, 100]
    assert (asked, len(kept)) == ([0, 1, 2], 3)


def test_what_could_not_be_found_out_is_asked_again() -> None:
    rows = pl.DataFrame({"a": [7]}, {"a": pl.UInt32})
    kept = KnownRows()

    def fail(place: int) -> int:
        raise OSError(place)

    with pytest.raises(OSError, match="0"):
        kept.numbers(rows, fail)
    assert pl.DataFrame(kept.numbers(rows, lambda _: 3)).to_series().to_list() == [3]


def test_addresses_of_which_the_same_is_known_share_a_number() -> None:
    stage = known()
    first, second, third, none, nothing = stage.addresses(
        packed("52.216.1.1", "47.88.1.1", "52.216.1.1", "192.0.2.1", "192.0.2.2")
    )
    assert first == third
    assert none == nothing
    assert len({first, second, none}) == 3


def test_all_numbers_go_together_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowledge, "KEYS", 2)
    databases = FakeDatabases()
    stage = known(databases)
    stage.owners(["github.com", "nobody.example"])
    stage.addresses(packed("52.216.1.1"))
    stage.make_room()
    assert (stage.evicted, databases.lookups) == (0, 1)
    stage.addresses(packed("47.88.1.1"))
    stage.make_room()
    assert stage.evicted == 4  # two addresses, two names
    stage.addresses(packed("52.216.1.1"))
    assert databases.lookups == 3


def test_a_name_that_is_too_long_belongs_to_nobody() -> None:
    stage = known()
    longest = f"{LONGEST[:-11]}.github.com"
    assert len(longest) == 253
    owner, none, empty, missing = stage.owners([longest, "a" + longest, "", None])
    assert owner > 0
    assert (none, empty, missing) == (0, 0, 0)
