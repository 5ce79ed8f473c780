"""What a DNS question can carry out: its domain, and the bytes left of it that the asker is free to choose.

A tunnel puts data into the labels left of a domain that its other end serves, and never asks the same
name twice, or the resolver's cache would answer. A service asks the same names all day. So
`question_bytes` counts the labels, and `fresh_question_bytes` only those of names that this client did
not ask lately.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from monitor.attribute.bounded import BoundedCache

REMEMBERED = 2**14  # names, about 300 bytes each

# Suffixes under which the registries of countries register for others, so that the domain has three
# labels: example.co.uk. Own list of common ones, far shorter than the Public Suffix List; a name judged
# wrongly moves its bytes to a neighbour's sum. Only suffixes that nobody can register for himself may
# stand here: below one, the label chosen by the asker is not counted.
_REGISTRIES = {
    "ae": "ac co gov mil net org sch", "ar": "com edu gob int mil net org", "at": "ac co gv or",
    "au": "asn com edu gov id net org", "bd": "ac com edu gov net org", "br": "com edu gov mil net org",
    "cn": "ac com edu gov mil net org", "co": "com edu gov mil net nom org", "cr": "ac co ed fi go or sa",
    "ec": "com edu fin gob gov info net org", "eg": "com edu gov net org sci", "es": "com edu gob nom org",
    "fr": "asso com gouv nom prd tm", "gr": "com edu gov net org", "hk": "com edu gov idv net org",
    "id": "ac biz co desa go mil my net or sch web", "il": "ac co gov idf k12 muni net org",
    "in": "ac co edu firm gen gov ind mil net nic org res", "it": "edu gov",
    "jp": "ac ad co ed go gr lg ne or",
    "ke": "ac co go info me mobi ne or sc", "kr": "ac co es go hs kg mil ms ne or pe re sc",
    "lk": "ac com edu gov net org", "mx": "com edu gob net org", "my": "com edu gov mil name net org",
    "ng": "com edu gov i mil mobi name net org sch", "np": "com edu gov mil net org",
    "nz": "ac co cri geek gen govt iwi maori mil net org school", "pe": "com edu gob mil net nom org",
    "ph": "com edu gov i mil net ngo org", "pk": "com edu gov net org", "pl": "com edu gov info net org",
    "pt": "com edu gov int net org", "sa": "com edu gov med net org pub sch", "sg": "com edu gov net org per",
    "th": "ac co go in mi net or", "tr": "av bel biz com edu gen gov info k12 mil name net org pol tel web",
    "tw": "club com ebiz edu game gov idv mil net org", "ua": "com edu gov in net org",
    "uk": "ac co gov ltd me net nhs org plc police sch", "uy": "com edu gub mil net org",
    "ve": "co com edu gob info net org web", "vn": "ac biz com edu gov health info int name net org pro",
    "za": "ac co edu gov law mil net nom org school web",
}  # fmt: skip
_SUFFIXES = frozenset(
    f"{label}.{country}" for country, labels in _REGISTRIES.items() for label in labels.split()
)

# three digits are one byte (RFC 4343 section 2.1); any other backslash escapes the one after it
_ESCAPED = re.compile(rb"\\(?:[0-9]{3}|.)")


class Domain(NamedTuple):
    """What a name says of its asker's choice."""

    domain: str | None  # registrable domain, "" for the root; None where there is no name
    label_bytes: int  # sum of the lengths of the labels left of it, without dots


class Domains:
    """Splits names, and remembers those of late."""

    def __init__(self) -> None:
        self._known: BoundedCache[str | None, Domain] = BoundedCache(REMEMBERED)

    @property
    def evicted(self) -> int:
        """Names forgotten because of the bound; they are split again."""
        return self._known.evicted

    def of(self, questions: Sequence[str | None]) -> list[Domain]:
        """Split names as `split` does."""
        return self._known.values(questions, split)


def split(question: str | None) -> Domain:
    """Find the registrable domain of a name and the bytes left of it.

    The domain is the last two labels, or three where the last two are a registry's (``co.uk``); reverse
    zones fold to ``in-addr.arpa`` and ``ip6.arpa``.

    Args:
        question: as `DNS_SCHEMA` writes it (lower case, no final dot, "." for the root).
    """
    if question is None:
        return Domain(None, 0)
    if question in {".", ""}:
        return Domain("", 0)
    # backslashes and dots inside a label (RFC 1035 section 5.1) in the other form, so that "." separates
    labels = question.replace("\\\\", r"\092").replace("\\.", r"\046").split(".")
    kept = 3 if ".".join(labels[-2:]) in _SUFFIXES else 2
    left = "".join(labels[:-kept]).encode("utf-8", "replace")
    return Domain(".".join(labels[-kept:]), len(_ESCAPED.sub(b"?", left)))
