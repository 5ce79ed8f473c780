"""Address ranges as sorted integers: join neighbours, flatten nested networks, lay layers over each other."""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Value = TypeVar("Value")
Range = tuple[int, int, Value]  # first address, last address (both inclusive), value


def network_range(network: Network) -> tuple[int, int]:
    """Give the first and last address of a network as integers."""
    first = int(network.network_address)
    return first, first + network.num_addresses - 1


def coalesce(ranges: Iterable[Range[Value]]) -> Iterator[Range[Value]]:
    """Join neighbours with equal values; the ranges are in order and do not overlap."""
    held: Range[Value] | None = None
    for first, last, value in ranges:
        if held is not None and held[1] + 1 == first and held[2] == value:
            held = (held[0], last, value)
            continue
        if held is not None:
            yield held
        held = (first, last, value)
    if held is not None:
        yield held


def flatten(networks: Iterable[tuple[Network, Value]]) -> list[Range[Value]]:
    """Cut nested networks of one family into ranges in order: the longest prefix wins."""
    spans = sorted(
        ((*network_range(network), value) for network, value in networks),
        key=lambda span: (span[0], -span[1]),
    )
    flat: list[Range[Value]] = []
    open_spans: list[Range[Value]] = []  # each lies inside the one before
    position = 0

    def emit(until: int) -> None:
        nonlocal position
        while open_spans and open_spans[-1][1] < until:
            _, last, value = open_spans.pop()
            if position <= last:
                flat.append((position, last, value))
                position = last + 1
        if open_spans and position < until:
            flat.append((position, until - 1, open_spans[-1][2]))
        position = max(position, until)

    for first, last, value in spans:
        emit(first)
        open_spans.append((first, last, value))
    if spans:
        emit(max(last for _, last, _ in spans) + 1)
    return list(coalesce(flat))


def overlay(layers: Sequence[Iterable[Range[Value]]]) -> Iterator[Range[tuple[Value | None, ...]]]:
    """Cut all layers at each other's edges; the value holds one part a layer, None where it is silent.

    Each layer is in order and does not overlap itself. Stretches where all are silent are left out.
    """
    sources = [iter(layer) for layer in layers]
    heads = [next(source, None) for source in sources]
    position = 0
    while any(heads):
        edge: int | None = None
        parts: list[Value | None] = []
        for head in heads:
            covers = head is not None and head[0] <= position
            parts.append(head[2] if head is not None and covers else None)
            if head is not None:
                stop = head[1] if covers else head[0] - 1
                edge = stop if edge is None or stop < edge else edge
        assert edge is not None  # some head is not None
        if any(part is not None for part in parts):
            yield position, edge, tuple(parts)
        position = edge + 1
        for index, head in enumerate(heads):
            if head is not None and head[1] < position:
                heads[index] = next(sources[index], None)
