"""Files of our writer, read back through MaxMind's own reader, compiled and in Python."""

import bisect
import ipaddress
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import maxminddb
import pytest

from tools.catalogue.mmdb_writer import DataSection, Description, Range, Tree, write

ABOUT = Description("test", "made for a test", 1_700_000_000)
MODES = [maxminddb.MODE_AUTO, maxminddb.MODE_FILE]


def file_of(path: Path, ranges: list[Range], values: list[Any], bits: int = 128) -> Path:
    """Write ranges whose references are -(index of the value + 1)."""
    tree, data = Tree(), DataSection()
    root = tree.subtree(ranges, bits)
    path.write_bytes(write(tree, root, [data.add(value) for value in values], data, ABOUT))
    return path


def random_ranges(generator: random.Random, bits: int, count: int, values: int) -> list[Range]:
    # edges on many scales: uniform ones are almost never aligned, real ones almost always are
    edges = {0, 1 << bits}
    while len(edges) < 2 * count:
        step = generator.randrange(bits)
        edges.add((generator.getrandbits(bits) >> step) << step)
    cuts = sorted(edges)
    return [
        (first, following - 1, -generator.randint(1, values))
        for first, following in pairwise(cuts)
        if generator.random() < 0.7
    ]


@pytest.mark.parametrize("mode", MODES)
def test_what_was_written_is_read(tmp_path: Path, mode: int) -> None:
    generator = random.Random(3)
    ranges = random_ranges(generator, 128, 600, 40)
    values = [{"asn": number * 1000, "name": f"network {number}"} for number in range(40)]
    path = file_of(tmp_path / "a.mmdb", ranges, values)
    starts = [first for first, _, _ in ranges]
    edges = [edge + delta for first, last, _ in ranges for edge in (first, last) for delta in (-1, 0, 1)]
    probes = [edge for edge in edges if 0 <= edge < 1 << 128]
    probes += [generator.getrandbits(128) for _ in range(5000)]
    with maxminddb.open_database(path, mode) as reader:
        for address in probes:
            index = bisect.bisect_right(starts, address) - 1
            inside = index >= 0 and address <= ranges[index][1]
            expected = values[-ranges[index][2] - 1] if inside else None
            assert reader.get(ipaddress.IPv6Address(address)) == expected, hex(address)


def test_networks_found_are_the_largest_that_hold() -> None:
    tree = Tree()
    # two halves with one value are one network: RFC 4632 aggregation
    root = tree.subtree([(0x0A000000, 0x0A7FFFFF, -1), (0x0A800000, 0x0AFFFFFF, -1)], 32)
    depth = 0
    while root > 0:
        left, right = tree.nodes[root - 1]
        root = left or right
        depth += 1
    assert (root, depth) == (-1, 8)  # 10.0.0.0/8


def test_metadata_are_what_the_reader_expects(tmp_path: Path) -> None:
    path = file_of(tmp_path / "a.mmdb", [(0, 1, -1)], [{"x": "y"}])
    with maxminddb.open_database(path) as reader:
        metadata = reader.metadata()
    assert metadata.database_type == "test"
    assert metadata.description == {"en": "made for a test"}
    assert (metadata.build_epoch, metadata.ip_version, metadata.record_size) == (1_700_000_000, 6, 24)
    assert (metadata.binary_format_major_version, metadata.binary_format_minor_version) == (2, 0)


@pytest.mark.parametrize("mode", MODES)
def test_values_of_every_length_survive(tmp_path: Path, mode: int) -> None:
    # lengths around the edges of the size field: 28/29, 284/285, 65820/65821 (spec, Data Field Format)
    lengths = [0, 1, 28, 29, 30, 284, 285, 286, 65820, 65821, 70000]
    values: list[Any] = [{"text": "é" * (length // 2) + "x" * (length % 2)} for length in lengths]
    values += [{"number": number} for number in (0, 1, 255, 256, 2**24, 2**32 - 1)]
    values += [{"list": ["a", "b", {"c": 1}]}, {str(key): key for key in range(40)}]
    ranges = [(index, index, -index - 1) for index in range(len(values))]
    path = file_of(tmp_path / "a.mmdb", ranges, values)
    with maxminddb.open_database(path, mode) as reader:
        for index, value in enumerate(values):
            assert reader.get(ipaddress.IPv6Address(index)) == value


@pytest.mark.parametrize("mode", MODES)
def test_pointers_of_every_length_are_followed(tmp_path: Path, mode: int) -> None:
    # offsets around the edges of the pointer classes: 2048, 526336, beyond (spec, pointer)
    filler = {"near": 10, "middle": 3000, "far": 700_000}
    values: list[Any] = []
    for key, size in filler.items():
        values += [{"filler": f"{key} {number:05} {'.' * 488}"} for number in range(size // 500)]
        values += [{"first": f"a long enough text after {key}"}]
    values += [{"again": f"a long enough text after {key}"} for key in filler]
    ranges = [(index, index, -index - 1) for index in range(len(values))]
    path = file_of(tmp_path / "a.mmdb", ranges, values)
    with maxminddb.open_database(path, mode) as reader:
        for index, value in enumerate(values):
            assert reader.get(ipaddress.IPv6Address(index)) == value


@pytest.mark.parametrize("mode", MODES)
def test_files_too_large_for_24_bits_use_28(tmp_path: Path, mode: int) -> None:
    values: list[Any] = [{"filler": "x" * 16_500_000}, {"filler": "y" * 1_000_000}, {"after": "both"}]
    path = file_of(tmp_path / "a.mmdb", [(index, index, -index - 1) for index in range(3)], values)
    with maxminddb.open_database(path, mode) as reader:
        assert reader.metadata().record_size == 28
        assert reader.get("::2") == {"after": "both"}
        assert reader.get("::3") is None


def test_equal_subtrees_are_stored_once(tmp_path: Path) -> None:
    inside = [(0, 9, -1), (100, 300, -2), (0x0A000000, 0x0AFFFFFF, -1)]
    once, often = Tree(), Tree()
    ipv4 = once.subtree(inside, 32)
    assert ipv4 == len(once.nodes)
    mounts = [(prefix << 32, (prefix << 32) + 2**32 - 1) for prefix in (0, 0xFFFF, 7 << 80)]
    shared = often.subtree(inside, 32)
    root = often.subtree([(*mount, shared) for mount in mounts], 128)
    # three copies cost only the paths to them: at most 96 nodes each
    assert len(often.nodes) <= len(once.nodes) + 3 * 96
    data = DataSection()
    offsets = [data.add({"n": 1}), data.add({"n": 2})]
    path = tmp_path / "a.mmdb"
    path.write_bytes(write(often, root, offsets, data, ABOUT))
    with maxminddb.open_database(path) as reader:
        for text in ("10.1.2.3", "::ffff:10.1.2.3", "7::10.1.2.3"):
            assert reader.get(text) == {"n": 1}, text
        assert reader.get("8::10.1.2.3") is None


@pytest.mark.parametrize("ranges", [[], [(0, 2**128 - 1, -1)]])
def test_trees_without_a_branch_are_files_too(tmp_path: Path, ranges: list[Range]) -> None:
    path = file_of(tmp_path / "a.mmdb", ranges, [{"all": 1}])
    with maxminddb.open_database(path) as reader:
        assert reader.get("2001:db8::1") == ({"all": 1} if ranges else None)


@pytest.mark.parametrize("ranges", [[(5, 9, -1), (9, 10, -1)], [(5, 9, -1), (1, 2, -1)], [(5, 4, -1)]])
def test_ranges_out_of_order_are_refused(ranges: list[Range]) -> None:
    with pytest.raises(ValueError, match="overlap or are out of order"):
        Tree().subtree(ranges, 32)
