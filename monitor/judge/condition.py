"""One condition of a ``match``: what a rule says about one field.

A condition is read once from YAML. Rows of batches are matched by the engine (`monitor.judge.engine`);
`Condition.holds` says the same about single values, for a policy that is compared with what was observed.
The tests hold one against the other.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from monitor import address_text, units
from monitor.config import parse_network
from monitor.judge.fields import ANY, NONE, PROTOCOLS, SANCTIONED, Field
from monitor.yaml_file import nearest

_AS_NUMBER = re.compile(r"as[0-9]{1,10}")
_RANGE = re.compile(r"\s*([^\s-]+)\s*-\s*([^\s-]*)\s*")
_WHOLE_NETWORKS = [
    (bytes(16), b"\xff" * 16),
    (bytes(10) + b"\xff\xff" + bytes(4), bytes(10) + b"\xff" * 6),
]
MAX_ALTERNATIVES = 10_000

Bound = int | bytes


@dataclass(frozen=True)
class Vocabulary:
    """The words that only the configuration and the catalogue know.

    `workloads` None: not checked (an exception for a workload that is not here can do no harm).
    """

    providers: Collection[str]
    workloads: Collection[str] | None
    sanctioned: tuple[str, ...]
    lists: frozenset[str] = frozenset()  # the names of the configuration's `lists`
    configured: frozenset[str] = frozenset()  # of what a rule can need, what the configuration has

    def without_workloads(self) -> "Vocabulary":
        """Give the same, with any name of a workload right."""
        return replace(self, workloads=None)


@dataclass(frozen=True)
class Condition:
    """What is said about one field: any of these values, or, `negated`, a value that is none of them."""

    field: Field
    words: str  # as in the file, for people
    negated: bool = False
    everything: bool = False  # the word ``any``
    missing: bool = False  # the word ``none``: a row without a value holds too
    exact: frozenset[str | bool] = frozenset()
    globs: tuple[str, ...] = ()  # with ``*`` (any run of characters) and ``?`` (one)
    ranges: tuple[tuple[Any, Any], ...] = ()  # of numbers or of packed addresses, inclusive
    lists: tuple[str, ...] = ()  # names of lists of addresses and domains

    def holds(self, value: Any) -> bool:
        """Tell whether the condition holds for one value; None: missing. An address may be text.

        Lists are not looked at: what is only in one does not hold.
        """
        if self.everything:
            return True
        if value is None:
            return self.missing and not self.negated
        if self.field.kind == "host":
            value = value.lower()
        elif self.field.kind == "address" and isinstance(value, str):
            value = address_text.to_packed(ip_address(value))
        found = (
            (isinstance(value, str | bool) and value in self.exact)
            or any(low <= value <= high for low, high in self.ranges)
            or any(_compiled(glob).fullmatch(value) for glob in self.globs)
        )
        return found != self.negated

    def is_trivial(self) -> bool:
        """Tell whether nearly every row meets this, so that it narrows nothing."""
        if self.negated:
            return False
        whole = [(0, self.field.largest), *_WHOLE_NETWORKS]
        words: set[str | bool] = {True, False} if self.field.kind == "yes_no" else {*self.field.words}
        return (
            self.everything
            or any(bounds in whole for bounds in self.ranges)
            or bool(words and self.exact >= words)
            or any(not glob.strip("*") for glob in self.globs)
        )


@lru_cache(maxsize=1024)
def _compiled(glob: str) -> re.Pattern[str]:
    first, *rest = (
        "".join("." if one == "?" else re.escape(one) for one in part) for part in glob.split("*")
    )
    # what stands between two stars is found where it comes first, and that is not taken back: strangers
    # choose names, and to try all ways to share one among the stars may take for ever
    between = "".join(f"(?>.*?{part})" for part in rest[:-1])
    return re.compile(f"{first}{between}{'.*' if rest else ''}{''.join(rest[-1:])}", re.DOTALL)


def parse_condition(field: Field, written: Any, vocabulary: Vocabulary) -> Condition:
    """Read what a rule says about one field.

    Raises ValueError with a text for people: a value the field cannot have, with the nearest right word.
    """
    negated = isinstance(written, dict) and "list" not in written
    if negated and list(written) != ["not"]:
        key = next((str(key) for key in written if key != "not"), "")
        raise ValueError(f"unknown key {key!r} in a condition; it may be 'not' or 'list'")
    inner = written["not"] if negated else written
    values = inner if isinstance(inner, list) else [inner]
    if not values:
        raise ValueError("an empty list matches nothing")
    if len(values) > MAX_ALTERNATIVES:
        raise ValueError(f"{len(values)} alternatives; at most {MAX_ALTERNATIVES}")
    parts = _Parts(field, vocabulary)
    for value in values:
        parts.add(value)
    if parts.everything and (negated or len(values) > 1):
        raise ValueError("'any' stands alone")
    return Condition(
        field,
        f"{field.name}: {_in_words(written)}",
        negated,
        parts.everything,
        parts.missing,
        frozenset(parts.exact),
        tuple(parts.globs),
        tuple(parts.ranges),
        tuple(dict.fromkeys(parts.lists)),
    )


def _in_words(written: Any) -> str:
    if isinstance(written, dict):
        ((key, inner),) = written.items()
        return f"{{{key}: {_in_words(inner)}}}"
    if isinstance(written, list):
        shown = ", ".join(_in_words(value) for value in written[:8])
        return f"[{shown}, ...]" if len(written) > 8 else f"[{shown}]"
    return str(written).lower() if isinstance(written, bool) else str(written)


class _Parts:
    """Gathers the alternatives of one condition."""

    def __init__(self, field: Field, vocabulary: Vocabulary) -> None:
        self.field = field
        self.vocabulary = vocabulary
        self.everything = False
        self.missing = False
        self.exact: set[str | bool] = set()
        self.globs: list[str] = []
        self.ranges: list[tuple[Bound, Bound]] = []
        self.lists: list[str] = []

    def add(self, value: Any) -> None:
        field = self.field
        if value is None:
            raise ValueError("no value; write 'none' to match what is missing")
        if isinstance(value, dict) and list(value) == ["list"]:
            self._add_list(value["list"])
        elif isinstance(value, dict | list):
            raise ValueError("'not' stands around the whole list, as in {not: [a, b]}")
        elif value == ANY:
            self.everything = True
        elif value == NONE:
            self.missing = True
            if NONE in field.words:
                self.exact.add(NONE)
        elif field.kind == "yes_no":
            self.exact.add(parse_yes_no(value))
        elif field.kind == "number":
            self.ranges.append(_number_range(field, value))
        elif field.kind == "address":
            network = parse_network(value)
            first, last = network.network_address, network.broadcast_address
            self.ranges.append((address_text.to_packed(first), address_text.to_packed(last)))
        else:
            self._add_text(value)

    def _add_list(self, name: Any) -> None:
        if not isinstance(name, str):
            raise ValueError("'list' takes the name of one list of the configuration's `lists`")
        if self.field.kind not in ("address", "host"):
            raise ValueError(f"a list holds addresses and domains, and {self.field.name} is neither")
        self.lists.append(name)

    def _add_text(self, value: Any) -> None:
        text = parse_text(self.field, value)
        if self.field.kind == "provider" and text == SANCTIONED:
            self.exact.update(self.vocabulary.sanctioned)
        elif "*" in text or "?" in text:
            if self.field.kind == "closed":
                raise ValueError(
                    f"{text!r}: {self.field.name} takes whole words: {', '.join(self.field.words)}"
                )
            self.globs.append(text)
        else:
            check_word(self.field, text, self.vocabulary)
            self.exact.add(text)


def parse_yes_no(value: Any) -> bool:
    """Read true or false; raises ValueError."""
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not true or false")
    return value


def parse_text(field: Field, value: Any) -> str:
    """Read a word; raises ValueError. YAML reads a bare NO (Norway) as false, which is told."""
    if isinstance(value, bool):
        quoted = '; write "NO" in quotes for Norway' if field.kind == "country" and not value else ""
        raise ValueError(f"{field.name} is text, not {str(value).lower()}{quoted}")
    text = str(value)
    return text.lower() if field.kind == "host" else text


def parse_number(field: Field, value: Any) -> int:
    """Read a number, a size where the field is bytes, or a protocol's name; raises ValueError."""
    if field.name == "protocol" and str(value).lower() in PROTOCOLS:
        return PROTOCOLS[str(value).lower()]
    text = str(value)
    if isinstance(value, bool) or not (field.is_size or text.isdecimal()):
        hint = nearest(text.lower(), PROTOCOLS) if field.name == "protocol" else ""
        raise ValueError(f"{value!r} is not a number{hint}")
    number = units.parse_bytes(value) if field.is_size else int(text)
    if number > field.largest:
        raise ValueError(f"no record carries {value} as {field.name}; the largest is {field.largest}")
    return number


def _number_range(field: Field, value: Any) -> tuple[int, int]:
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        number = parse_number(field, value)
        return number, number
    low = parse_number(field, match[1])
    high = parse_number(field, match[2]) if match[2] else field.largest
    if low > high:
        raise ValueError(f"the range {value} is empty; write the smaller number first")
    return low, high


def check_word(field: Field, text: str, vocabulary: Vocabulary) -> None:
    """Raise ValueError, with the nearest right word, where the field can never hold this text."""
    if field.kind == "closed" and text not in field.words:
        known = [*field.words, ANY, NONE]
        hint = nearest(text, known) or f"; one of {', '.join(field.words)}"
        raise ValueError(f"{field.name} is never {text!r}{hint}")
    if field.kind == "provider" and text not in vocabulary.providers and not _AS_NUMBER.fullmatch(text):
        hint = nearest(text, [*vocabulary.providers, SANCTIONED])
        raise ValueError(f"the catalogue has no provider {text!r}{hint}")
    if field.kind == "country" and not re.fullmatch(r"[A-Z]{2}", text):
        hint = f"; did you mean {text.upper()!r}?" if re.fullmatch(r"[A-Za-z]{2}", text) else ""
        raise ValueError(f"{text!r} is not a country code of ISO 3166-1, like CN{hint}")
    known_workloads = vocabulary.workloads
    if field.kind == "workload" and known_workloads is not None and text not in known_workloads:
        try:
            ip_address(text)
        except ValueError:
            raise ValueError(
                f"the configuration has no workload {text!r}{nearest(text, known_workloads)}"
            ) from None
