import csv
import os
import random
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import polars as pl
import pytest

from monitor.address_text import to_packed
from monitor.attribute.catalogue import Catalogue
from monitor.attribute.databases import SHIPPED, AddressFacts, Databases, embedded_ipv4
from monitor.errors import InputError

HERE = Path(__file__).parent
FILES = HERE / "databases"
COUNTRY = FILES / "GeoLite2-Country-Test.mmdb"
ASN = FILES / "GeoLite2-ASN-Test.mmdb"
MAPPED = bytes(10) + b"\xff\xff"


@pytest.fixture
def opened() -> Iterator[Callable[..., Databases]]:
    made: list[Databases] = []

    def make(**paths: Path | None) -> Databases:
        databases = Databases(**paths)  # type: ignore[arg-type]
        databases.start()
        made.append(databases)
        return databases

    yield make
    for databases in made:
        databases.stop()


def ask(databases: Databases, text: str) -> AddressFacts:
    return databases.lookup(to_packed(ip_address(text)))


def test_known_addresses_of_clouds_come_out_right(opened: Callable[..., Databases]) -> None:
    """Addresses drawn from lists that the clouds publish, with their own region labels."""
    databases = opened()
    with (HERE / "known_addresses.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    wrong_provider = [row for row in rows if ask(databases, row["address"]).provider != row["provider"]]
    with_country = [row for row in rows if row["country"]]
    wrong_country = [row for row in with_country if ask(databases, row["address"]).country != row["country"]]
    print(f"provider right for {len(rows) - len(wrong_provider)} of {len(rows)}: wrong {wrong_provider}")
    print(
        f"country right for {len(with_country) - len(wrong_country)} of {len(with_country)}: {wrong_country}"
    )
    assert len(rows) > 150
    assert len(wrong_provider) <= 0.02 * len(rows)
    # drawn by list entry, not by address: small entries of odd places weigh as much as a /16
    assert len(wrong_country) <= 0.05 * len(with_country)


def test_facts_of_one_address(opened: Callable[..., Databases]) -> None:
    facts = ask(opened(), "8.8.8.8")
    assert facts == AddressFacts("US", 15169, "Google LLC", "google", "prefix")


def test_an_as_outside_the_catalogue_is_named_by_its_number(opened: Callable[..., Databases]) -> None:
    facts = ask(opened(), "193.0.6.139")  # RIPE NCC, AS3333
    assert (facts.country, facts.asn, facts.provider, facts.provider_evidence) == (
        "NL",
        3333,
        "as3333",
        "asn",
    )


def test_an_as_of_another_provider_beats_a_prefix_list(opened: Callable[..., Databases]) -> None:
    # AWS lists its Chinese regions too; they are run by Sinnet and NWCD
    assert ask(opened(), "52.82.0.1").provider == "aws_china"


@pytest.mark.parametrize("text", ["10.0.0.1", "127.0.0.1", "224.0.0.1", "::1", "fe80::1", "fc00::1", "::"])
def test_addresses_that_nobody_has_are_unknown(opened: Callable[..., Databases], text: str) -> None:
    assert ask(opened(), text) == AddressFacts()


@pytest.mark.parametrize("text", ["64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8"])
def test_translated_addresses_are_the_ipv4_address_inside(
    opened: Callable[..., Databases], text: str
) -> None:
    packed = socket.inet_pton(socket.AF_INET6, text)
    assert embedded_ipv4(packed) == MAPPED + bytes([8, 8, 8, 8])
    databases = opened()
    assert databases.lookup(packed) == ask(databases, "8.8.8.8")


def test_look_ups_never_raise_on_any_address(opened: Callable[..., Databases]) -> None:
    databases = opened(country=COUNTRY, asn=ASN)
    generator = random.Random(1)
    for _ in range(2000):
        databases.lookup(generator.randbytes(16))
        databases.lookup(MAPPED + generator.randbytes(4))
    assert databases.errors == 0


def test_user_country_file_wins_where_it_knows(opened: Callable[..., Databases]) -> None:
    ours, both = opened(), opened(country=COUNTRY)
    # source-data/GeoLite2-Country-Test.json: 50.114.0.0/22 US, 67.43.156.0/24 BT; it has no 8.8.8.8
    assert ask(both, "67.43.156.9").country == "BT"
    assert ask(ours, "67.43.156.9").country != "BT"
    assert ask(both, "67.43.156.9")[1:] == ask(ours, "67.43.156.9")[1:]
    assert ask(both, "8.8.8.8") == ask(ours, "8.8.8.8")


def test_user_as_file_wins_and_is_mapped_through_the_catalogue(opened: Callable[..., Databases]) -> None:
    ours, both = opened(), opened(asn=ASN)
    # source-data/GeoLite2-ASN-Test.json: 1.0.0.0/24 AS15169 Google Inc., 1.128.0.0/11 AS1221 Telstra Pty Ltd
    assert ask(ours, "1.0.0.1").provider == "cloudflare"
    assert ask(both, "1.0.0.1")[1:] == (15169, "Google Inc.", "google", "asn")
    assert ask(both, "1.128.0.1")[1:] == (1221, "Telstra Pty Ltd", "as1221", "asn")
    assert ask(both, "8.8.8.8") == ask(ours, "8.8.8.8")


def test_user_files_work_without_ours(opened: Callable[..., Databases]) -> None:
    databases = opened(default=None, country=COUNTRY, asn=ASN)
    assert ask(databases, "89.160.20.112") == AddressFacts("SE", 29518, "Bredband2 AB", "as29518", "asn")
    assert ask(databases, "8.8.8.8") == AddressFacts()
    assert databases.built is None


def test_users_catalogue_prefix_wins_over_everything(tmp_path: Path) -> None:
    extra = tmp_path / "ours.yml"
    extra.write_text(
        "providers: [{id: mine, name: M, category: cloud, hq_country: US, prefixes: [8.8.8.0/24],"
        " asns: [15169]}]\n"
    )
    databases = Databases(catalogue=Catalogue.load([extra]))
    databases.start()
    assert ask(databases, "8.8.8.8")[3:] == ("mine", "prefix")
    assert ask(databases, "142.250.1.1").asn == 15169
    assert ask(databases, "64:ff9b::808:808")[3:] == ("mine", "prefix")
    databases.stop()


def test_a_list_of_the_users_gives_way_to_the_as_of_another_provider(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("8.8.8.0/24\n193.0.0.0/21\n")
    extra = tmp_path / "ours.yml"
    extra.write_text(
        "providers: [{id: mine, name: M, category: cloud, hq_country: US, prefix_files: [list.txt]}]\n"
    )
    databases = Databases(catalogue=Catalogue.load([extra]))
    databases.start()
    assert ask(databases, "8.8.8.8").provider == "google"
    assert ask(databases, "193.0.6.139")[3:] == ("mine", "prefix")  # AS3333 is nobody's in the catalogue
    databases.stop()


def test_equal_keys_say_the_same(opened: Callable[..., Databases], tmp_path: Path) -> None:
    """The tree that is walked here against the library's own walk."""
    (tmp_path / "ours.yml").write_text(
        "providers: [{id: mine, name: M, category: cloud, hq_country: US, prefixes: [8.0.0.0/8]}]\n"
    )
    generator = random.Random(3)
    four = [bytes([generator.choice([1, 8, 50, 67, 89, 47])]) + generator.randbytes(3) for _ in range(2000)]
    addresses = [
        *(MAPPED + one for one in four),
        *(bytes.fromhex("0064ff9b") + bytes(8) + one for one in four[:200]),
        *(bytes.fromhex("2002") + one + generator.randbytes(10) for one in four[:200]),
        *(bytes([0x20 + generator.randrange(16)]) + generator.randbytes(15) for _ in range(1000)),
        *(bytes.fromhex("2a0e") + generator.randbytes(14) for _ in range(500)),
    ]
    both = Databases(country=COUNTRY, asn=ASN, catalogue=Catalogue.load([tmp_path / "ours.yml"]))
    both.start()
    for databases in (opened(), opened(country=COUNTRY, asn=ASN), both):
        said: dict[object, AddressFacts] = {}
        keys = databases.keys(pl.Series(addresses, dtype=pl.Binary))
        for key, address in zip(keys.iter_rows(), addresses, strict=True):
            facts = databases.lookup(address)
            assert said.setdefault(key, facts) == facts
        assert len(said) > 100
    assert "mine" in {facts.provider for facts in said.values()}
    both.stop()


@pytest.mark.parametrize("role", ["country", "asn"])
@pytest.mark.parametrize("change", ["zeros", "random", "cut", "other"])
def test_a_file_that_is_overwritten_in_place_changes_nothing(
    tmp_path: Path, opened: Callable[..., Databases], role: str, change: str
) -> None:
    source = {"country": COUNTRY, "asn": ASN}[role]
    path = tmp_path / "users.mmdb"
    path.write_bytes(source.read_bytes())
    databases, generator = opened(**{role: path}), random.Random(5)
    firsts = [MAPPED + bytes([generator.choice([1, 50, 67, 89])]) for _ in range(500)]
    addresses = [first + generator.randbytes(3) for first in firsts]
    before = [databases.lookup(address) for address in addresses]
    size = path.stat().st_size
    other = (ASN if role == "country" else COUNTRY).read_bytes()
    content = {"zeros": bytes(size), "random": generator.randbytes(size), "cut": b"", "other": other}[change]
    with path.open("r+b") as file:
        file.truncate(len(content))
        file.write(content)
    assert [databases.lookup(address) for address in addresses] == before
    assert databases.errors == 0
    if change != "other":
        assert refused(**{role: path}).startswith(f"{path}: ")


def test_a_file_of_two_halves_is_refused(tmp_path: Path) -> None:
    """A newer file was half written over an older one; its end, with the metadata, is the older one's."""
    half = COUNTRY.read_bytes()[:1000]
    path = tmp_path / "halves.mmdb"
    path.write_bytes(half + ASN.read_bytes()[len(half) :])
    assert refused(asn=path).startswith(f"{path}: ")


def test_nothing_is_known_of_private_addresses(opened: Callable[..., Databases]) -> None:
    for databases in (opened(), opened(country=COUNTRY, asn=ASN)):
        for text in ("10.1.2.3", "192.168.7.7", "fd00:1::9"):
            assert ask(databases, text) == AddressFacts()
    assert ask(opened(), "11.1.2.3").country is not None


def test_age_is_told_in_one_line(opened: Callable[..., Databases]) -> None:
    databases = opened()
    built = databases.built
    assert built == datetime(2026, 6, 1, tzinfo=UTC)
    assert databases.stale(built + timedelta(days=90)) is None
    line = databases.stale(built + timedelta(days=91))
    assert line is not None
    assert "\n" not in line
    assert "2026-06-01, 91 days old" in line


def test_age_of_the_files_in_use_counts(opened: Callable[..., Databases]) -> None:
    databases = opened(country=COUNTRY, asn=ASN)
    infos = {info.role: info for info in databases.sources()}
    assert set(infos) == {"default", "country", "asn"}
    assert infos["country"].kind == "GeoLite2-Country"
    oldest = min((infos["country"], infos["asn"]), key=lambda info: info.built)
    line = databases.stale(oldest.built + timedelta(days=91))
    assert line is not None
    assert line.startswith(f"{oldest.path.name}: ")


def refused(**paths: Path | None) -> str:
    databases = Databases(**paths)  # type: ignore[arg-type]
    with pytest.raises(InputError) as caught:
        databases.start()
    assert databases.sources() == []
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("role", ["default", "country", "asn"])
@pytest.mark.parametrize(
    "name",
    [
        "GeoIP2-City-Test-Invalid-Node-Count",
        "MaxMind-DB-test-broken-pointers-24",
        "MaxMind-DB-test-ipv4-24",  # sound, but of no known kind
        "bad-unicode-in-map-key",
        "cyclic-data-structure",
        "invalid-data-record-offset",
        "invalid-string-length",
        "libmaxminddb-corrupt-search-tree",
        "libmaxminddb-deep-nesting",
        "libmaxminddb-metadata-marker-only",
        "libmaxminddb-uint64-max-epoch",
    ],
)
def test_broken_files_are_refused_by_name(role: str, name: str) -> None:
    path = FILES / f"{name}.mmdb"
    assert refused(**{role: path}).startswith(f"{path}: ")


@pytest.mark.parametrize("role", ["default", "country", "asn"])
def test_files_that_are_no_databases_are_refused_by_name(tmp_path: Path, role: str) -> None:
    whole = {"default": SHIPPED, "country": COUNTRY, "asn": ASN}[role].read_bytes()
    cases = {
        "empty": b"",
        "text": b"not a database\n",
        "cut": whole[: len(whole) // 2],
        "cut-at-the-end": whole[:-10],
    }
    for name, content in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert refused(**{role: path}).startswith(f"{path}: "), name
    assert refused(**{role: tmp_path / "missing"}).startswith(f"{tmp_path / 'missing'}: No such file")
    assert refused(**{role: tmp_path}).startswith(f"{tmp_path}: ")


def test_a_file_of_another_kind_says_what_it_is() -> None:
    assert refused(country=ASN) == (
        f"{ASN}: its type is 'GeoLite2-ASN', not GeoLite2-Country, GeoIP2-City, DBIP-Country-Lite or the like"
    )
    assert "its type is 'GeoLite2-Country', not GeoLite2-ASN" in refused(asn=COUNTRY)
    assert "its type is 'GeoLite2-Country', not egress-monitor" in refused(default=COUNTRY)


def test_a_damaged_record_is_counted_and_unknown(tmp_path: Path, opened: Callable[..., Databases]) -> None:
    path = tmp_path / "asn.mmdb"
    path.write_bytes(ASN.read_bytes().replace(b"Telstra", b"\xff" * 7))  # not UTF-8
    databases = opened(default=None, asn=path)
    assert databases.errors == 0
    assert ask(databases, "1.128.0.1") == AddressFacts()
    assert databases.errors == 1
    assert ask(databases, "1.0.0.1").asn == 15169


def test_damaged_files_are_refused_or_say_what_can_be(tmp_path: Path) -> None:
    generator = random.Random(7)
    addresses = [MAPPED + os.urandom(4) for _ in range(20)] + [MAPPED + bytes([1, 128, 0, 1])]
    for source, role in ((ASN, "asn"), (COUNTRY, "country")):
        for number in range(150):
            content = bytearray(source.read_bytes())
            for _ in range(1 + number % 3):  # the metadata at the end stay whole
                content[generator.randrange(len(content) - 400)] = generator.randrange(256)
            path = tmp_path / f"{role}-{number}"
            path.write_bytes(content)
            databases = Databases(None, *((path, None) if role == "country" else (None, path)))
            try:
                databases.start()
            except InputError:
                continue
            for address in addresses:
                facts = databases.lookup(address)
                assert facts.asn is None or 0 <= facts.asn < 2**32
                assert facts.country is None or len(facts.country) == 2
            databases.stop()


def test_stop_is_harmless_when_nothing_is_open() -> None:
    Databases().stop()
