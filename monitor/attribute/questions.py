"""What a DNS question can carry out: its domain, and the bytes left of it that the asker is free to choose.

A tunnel puts data into the labels left of a domain that its other end serves, and never asks the same
name twice, or the resolver's cache would answer. A service asks the same names all day. So
`question_bytes` counts the labels, and `fresh_question_bytes` only those of names that this client did
not ask lately.
"""

import hashlib
import re
from collections.abc import Iterable

import polars as pl

from monitor.attribute.bounded import BoundedCache
from monitor.attribute.distinct import distinct
from monitor.attribute.moments import moment

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


class AskedNames:
    """Which names each client asked lately; about 85 bytes each, 22 MB with the default bound."""

    def __init__(self, bound: int = 2**18) -> None:
        self._seen: BoundedCache[bytes, None] = BoundedCache(bound)

    @property
    def evicted(self) -> int:
        """Names forgotten because of the bound, since the start."""
        return self._seen.evicted

    def is_fresh(self, client: bytes, question: str) -> bool:
        """Say whether this client (16 bytes) did not ask this name lately, and remember that it did."""
        # a digest has one size whatever the name's, and nobody can make two names collide
        key = hashlib.blake2b(client + question.encode("utf-8", "replace"), digest_size=12).digest()
        if self._seen.get(key, False) is None:
            return False
        self._seen.put(key, None)
        return True

    def digests(self) -> Iterable[bytes]:
        """Give what `restore` takes, the longest unasked first."""
        return (key for key, _ in self._seen.items())

    def restore(self, digest: bytes) -> None:
        """Put back what `digests` gave."""
        self._seen.put(digest, None)


def domain_columns(questions: pl.Series) -> pl.DataFrame:
    """Find the registrable domain of names and the bytes left of it.

    Args:
        questions: names as `DNS_SCHEMA` writes them (lower case, no final dot, "." for the root).

    Returns:
        One row a name: ``question``, ``domain`` ("" for the root) and ``label_bytes``, the sum of the
        lengths of the labels left of it, without dots. The domain is the last two labels, or three
        where the last two are a registry's (``co.uk``); reverse zones fold to ``in-addr.arpa`` and
        ``ip6.arpa``.
    """
    found = [_domain(question) for question in questions]
    return pl.DataFrame(
        {
            "question": questions,
            "domain": pl.Series([domain for domain, _ in found], dtype=pl.String),
            "label_bytes": pl.Series([length for _, length in found], dtype=pl.UInt32),
        }
    )


def _domain(question: str | None) -> tuple[str | None, int | None]:
    if question is None:
        return None, None
    if question in {".", ""}:
        return "", 0
    # backslashes and dots inside a label (RFC 1035 section 5.1) in the other form, so that "." separates
    labels = question.replace("\\\\", r"\092").replace("\\.", r"\046").split(".")
    kept = 3 if ".".join(labels[-2:]) in _SUFFIXES else 2
    left = "".join(labels[:-kept]).encode("utf-8", "replace")
    return ".".join(labels[-kept:]), len(_ESCAPED.sub(b"?", left))


def question_columns(dns: pl.DataFrame, asked: AskedNames) -> list[pl.Series]:
    """Give ``domain``, ``question_bytes`` and ``fresh_question_bytes`` of DNS rows (`DNS_SCHEMA`).

    ``asked`` must be given the batches in their order; how they are cut at ticks changes nothing.
    """
    names = domain_columns(distinct(dns, "question_id", "question"))
    label_bytes = names["label_bytes"][dns["question_id"]]
    places = ((dns["kind"] == "question") & (label_bytes > 0)).arg_true()  # the others carry nothing out
    none = pl.Series([0], dtype=pl.UInt32).new_from_index(0, dns.height)
    question_bytes = none.clone().scatter(places, label_bytes[places])
    news = _news(dns, names["question"], places, asked)
    return [
        names["domain"][dns["question_id"]],
        question_bytes.alias("question_bytes"),
        none.scatter(news, label_bytes[news]).alias("fresh_question_bytes"),
    ]


def _news(dns: pl.DataFrame, names: pl.Series, places: pl.Series, asked: AskedNames) -> pl.Series:
    """Give those of the places where a client asks a name that it did not ask lately."""
    clients = distinct(dns, "client_id", "client").to_list()
    firsts = (
        dns.select(
            places.alias("place"),
            pl.col("client_id", "question_id").gather(places),
            moment("time").gather(places),
        )
        .sort("moment", maintain_order=True)
        .unique(["client_id", "question_id"], keep="first", maintain_order=True)
    )
    asked_names = names[firsts["question_id"]]
    pairs = zip(firsts["client_id"], asked_names, strict=True)
    fresh = [asked.is_fresh(clients[client], name) for client, name in pairs]
    return firsts["place"].filter(pl.Series(fresh, dtype=pl.Boolean))
