"""Write MaxMind DB files in which equal subtrees of the search tree are stored once.

The format is the MaxMind DB File Format Specification, version 2.0
(https://maxmind.github.io/MaxMind-DB/). A reader only follows node numbers, so it does not notice that
two records lead to the same node: this is how one IPv4 tree serves several IPv6 prefixes at no cost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Value = str | int | Mapping[str, "Value"] | Sequence["Value"]
Range = tuple[int, int, int]  # first address, last address, reference

METADATA_MARKER = b"\xab\xcd\xefMaxMind.com"
_SEPARATOR = bytes(16)
_POINTER_BASES = (0, 2048, 526336)  # what is added to pointers of 11, 19 and 27 bits


class Tree:
    """A search tree, built bottom-up; a reference is 0 (nothing), ``-n`` (record n) or a node number."""

    def __init__(self) -> None:
        self.nodes: list[tuple[int, int]] = []
        self._numbers: dict[tuple[int, int], int] = {}

    def join(self, left: int, right: int) -> int:
        """Give the reference of the subtree with these halves; two equal records are one record."""
        return left if left == right and left <= 0 else self._node(left, right)

    def _node(self, left: int, right: int) -> int:
        number = self._numbers.get((left, right))
        if number is None:
            self.nodes.append((left, right))
            number = self._numbers[left, right] = len(self.nodes)
        return number

    def subtree(self, ranges: Iterable[Range], bits: int) -> int:
        """Build the tree of an address space of ``bits`` bits.

        The ranges are in order and do not overlap; what lies between them leads to nothing. A reference
        to a node is allowed where its range is exactly one aligned block.

        Blocks are pushed from address 0 up; two blocks of one size that lie side by side are joined at
        once, so the stack holds at most one block of each size, like the digits of a binary counter.
        """
        stack: list[tuple[int, int]] = []
        position = 0
        for first, last, reference in ranges:
            if first < position or last < first:
                raise ValueError(f"ranges overlap or are out of order at {first:#x}")
            if first > position:
                self._push(stack, position, first - 1, 0, bits)
            self._push(stack, first, last, reference, bits)
            position = last + 1
        if position < 1 << bits:
            self._push(stack, position, (1 << bits) - 1, 0, bits)
        ((_, root),) = stack
        return root

    def root(self, reference: int) -> int:
        """Give a reference that is a node, as the top of a file must be."""
        return reference if reference > 0 else self._node(reference, reference)

    def _push(self, stack: list[tuple[int, int]], first: int, last: int, reference: int, bits: int) -> None:
        while first <= last:
            aligned = (first & -first).bit_length() - 1 if first else bits
            order = min(aligned, (last - first + 1).bit_length() - 1)
            first += 1 << order
            joined = reference
            while stack and stack[-1][0] == order:
                joined = self.join(stack.pop()[1], joined)
                order += 1
            stack.append((order, joined))


class DataSection:
    """Encoded values; strings and records that come again are pointers to the first."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._strings: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._bytes)

    def intern(self, text: str) -> None:
        """Store a string now: what is stored early has short pointers."""
        if text not in self._strings:
            self._strings[text] = len(self._bytes)
            self._bytes += _encode_string(text)

    def add(self, value: Value) -> int:
        """Store a value and give its offset in the section."""
        encoded = self._encode(value)
        offset = len(self._bytes)
        self._bytes += encoded
        return offset

    def _encode(self, value: Value) -> bytes:
        if isinstance(value, str):
            self.intern(value)
            pointer = _encode_pointer(self._strings[value])
            plain = _encode_string(value)
            return pointer if len(pointer) < len(plain) else plain
        if isinstance(value, Mapping):
            parts = [self._encode(key) + self._encode(item) for key, item in value.items()]
            return _control(7, len(value)) + b"".join(parts)
        return encode_value(value)

    def content(self) -> bytes:
        """Give the section as it stands in the file."""
        return bytes(self._bytes)


def encode_value(value: Value) -> bytes:
    """Encode a value without pointers; integers are uint32, as the spec's writers do by default."""
    if isinstance(value, str):
        return _encode_string(value)
    if isinstance(value, int):
        return _encode_integer(6, value)
    if isinstance(value, Mapping):
        return _control(7, len(value)) + b"".join(encode_value(k) + encode_value(v) for k, v in value.items())
    return _control(11, len(value)) + b"".join(encode_value(item) for item in value)


def _encode_string(text: str) -> bytes:
    encoded = text.encode()
    return _control(2, len(encoded)) + encoded


def _encode_integer(kind: int, number: int) -> bytes:
    encoded = number.to_bytes((number.bit_length() + 7) // 8)
    return _control(kind, len(encoded)) + encoded


def _control(kind: int, size: int) -> bytes:
    """Encode the control byte of a field, its extended type and long sizes (spec: Data Field Format)."""
    if size < 29:
        low, more = size, b""
    elif size < 285:
        low, more = 29, bytes([size - 29])
    elif size < 65821:
        low, more = 30, (size - 285).to_bytes(2)
    else:
        low, more = 31, (size - 65821).to_bytes(3)
    if kind <= 7:
        return bytes([kind << 5 | low]) + more
    return bytes([low, kind - 7]) + more


def _encode_pointer(offset: int) -> bytes:
    for size, base in enumerate(_POINTER_BASES):
        value = offset - base
        if value < 1 << (11 + 8 * size):
            return bytes([1 << 5 | size << 3 | value >> (8 * size + 8)]) + (
                value & ((1 << (8 * size + 8)) - 1)
            ).to_bytes(size + 1)
    return bytes([1 << 5 | 3 << 3]) + offset.to_bytes(4)


@dataclass(frozen=True)
class Description:
    """What the metadata of a file says about it; ``built`` is seconds since 1970."""

    database_type: str
    text: str
    built: int


def write(tree: Tree, root: int, records: Sequence[int], data: DataSection, about: Description) -> bytes:
    """Give the bytes of a file for IPv6 lookups; ``records[n - 1]`` is the offset of record n."""
    root = tree.root(root)
    count = len(tree.nodes)
    if root != count:
        raise ValueError("the root must be the last node that was built")
    largest = count + len(_SEPARATOR) + len(data)
    if largest >= 1 << 28:
        raise ValueError("too large for records of 28 bits")
    record_bits = 24 if largest < 1 << 24 else 28

    def number(reference: int) -> int:
        if reference > 0:
            return count - reference  # the root, built last, becomes node 0
        return count if reference == 0 else count + len(_SEPARATOR) + records[-reference - 1]

    pack = _pack_24 if record_bits == 24 else _pack_28
    nodes = b"".join(pack(number(left), number(right)) for left, right in reversed(tree.nodes))
    metadata = _control(7, 9) + b"".join(
        encode_value(key) + encoded
        for key, encoded in {
            "binary_format_major_version": _encode_integer(5, 2),
            "binary_format_minor_version": _encode_integer(5, 0),
            "build_epoch": _encode_integer(9, about.built),
            "database_type": encode_value(about.database_type),
            "description": encode_value({"en": about.text}),
            "ip_version": _encode_integer(5, 6),
            "languages": encode_value(["en"]),
            "node_count": _encode_integer(6, count),
            "record_size": _encode_integer(5, record_bits),
        }.items()
    )
    return nodes + _SEPARATOR + data.content() + METADATA_MARKER + metadata


def _pack_24(left: int, right: int) -> bytes:
    return left.to_bytes(3) + right.to_bytes(3)


def _pack_28(left: int, right: int) -> bytes:
    middle = (left >> 24) << 4 | right >> 24
    return (left & 0xFFFFFF).to_bytes(3) + bytes([middle]) + (right & 0xFFFFFF).to_bytes(3)
