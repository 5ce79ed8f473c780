"""Batches for the attribute stage; the catalogue and the databases are fakes of a few lines."""

import itertools
from ipaddress import ip_network
from typing import Any, ClassVar, cast

import polars as pl

from monitor.attribute.addresses import parse
from monitor.attribute.attributor import Attributor
from monitor.attribute.catalogue import Catalogue, NameMatch, Provider
from monitor.attribute.databases import AddressFacts, Databases
from monitor.flow_batch import ATTRIBUTED, DNS_SCHEMA, FLOW_SCHEMA, INDEXES

SECOND = 10**9
START = 1_700_000_000  # seconds since 1970

AWS, OSS, OTHER = "52.216.1.1", "47.88.1.1", "198.51.100.1"
WEB, API, RESOLVER = "10.0.2.1", "10.0.1.1", "10.0.0.2"


class FakeCatalogue:
    version = "test"
    providers: ClassVar = {
        "aws": Provider("aws", "AWS", "cloud", "US"),
        "alibaba": Provider("alibaba", "Alibaba Cloud", "cloud", "CN"),
        "github": Provider("github", "GitHub", "saas", "US"),
        "azure": Provider("azure", "Azure", "cloud", "US"),
    }
    names: ClassVar = {
        "s3.amazonaws.com": NameMatch("aws", "s3.amazonaws.com", True, False, frozenset({"aws"})),
        "amazonaws.com": NameMatch("aws", "amazonaws.com", False, False, frozenset({"aws"})),
        "aliyuncs.com": NameMatch("alibaba", "aliyuncs.com", True, False, frozenset({"alibaba"})),
        "github.com": NameMatch("github", "github.com", False, False, frozenset({"aws"})),
        "trafficmanager.net": NameMatch("azure", "trafficmanager.net", False, True, frozenset()),
    }

    def provider_of_name(self, name: str) -> NameMatch | None:
        labels = name.split(".")
        return next(
            (found for n in range(len(labels)) if (found := self.names.get(".".join(labels[n:])))), None
        )


class FakeDatabases:
    facts: ClassVar = {
        AWS: AddressFacts("US", 16509, "AMAZON-02", "aws", "prefix"),
        OSS: AddressFacts("CN", 37963, "ALIBABA", "alibaba", "asn"),
        OTHER: AddressFacts("FR", 64500, "EXAMPLE", "as64500", "asn"),
    }

    def __init__(self) -> None:
        self.lookups = 0
        self.seen: dict[bytes, int] = {}

    def keys(self, addresses: pl.Series) -> pl.DataFrame:
        numbers = [self.seen.setdefault(address, len(self.seen)) for address in addresses]
        return pl.DataFrame({"key": numbers}, {"key": pl.UInt32})

    def lookup(self, address: bytes) -> AddressFacts:
        self.lookups += 1
        return {parse(text): facts for text, facts in self.facts.items()}.get(address, AddressFacts())


def attributor(**options: Any) -> Attributor:
    given: dict[str, Any] = {
        "catalogue": cast(Catalogue, FakeCatalogue()),
        "databases": cast(Databases, FakeDatabases()),
        "workloads": {"api": [ip_network("10.0.1.0/24")], "web": [ip_network("10.0.2.0/24")]},
        "gateways": {"proxy": [ip_network("10.0.0.5/32")]},
        "published": {"web": [443]},
        "resolvers": [],
    }
    return Attributor(**(given | options))


def flows(*rows: dict[str, Any]) -> pl.DataFrame:
    """Flow rows; times are seconds after the start, addresses are text."""
    remotes = list(dict.fromkeys(row.get("remote_address", AWS) for row in rows))
    locals_ = list(dict.fromkeys(row.get("local_address", API) for row in rows))
    names = list(dict.fromkeys(row["name"] for row in rows if row.get("name")))
    made = []
    for row in rows:
        at = row.get("at", 0)
        started = row.get("started", at)
        remote = row.get("remote_address", AWS)
        full: dict[str, Any] = {
            "tick": (START + int(at)) * 1000,
            "flow_id": 1,
            "scope": "egress",
            "started": int((START + started) * SECOND),
            "first_seen": int((START + at) * SECOND),
            "last_seen": int((START + at) * SECOND),
            "local_id": locals_.index(row.get("local_address", API)),
            "remote_id": remotes.index(remote),
            "remote_port": 443,
            "local_port": 50000,
            "initiator": "local",
            "packets_out": 1,
            "packets_in": 0,
            "name": None,
            "name_id": names.index(row["name"]) if row.get("name") else None,
            "name_source": "sni" if row.get("name") else None,
            "ech": False,
            "ended": None,
            "interface": "capture",
            **{column: value for column, value in row.items() if column in FLOW_SCHEMA},
        }
        full |= {"local_address": parse(row.get("local_address", API)), "remote_address": parse(remote)}
        full |= {"started": int((START + started) * SECOND)}
        for column, dtype in FLOW_SCHEMA.items():
            if column not in full:
                full[column] = dtype.categories[0] if isinstance(dtype, pl.Enum) else 0
        made.append(full)
    return pl.DataFrame(made, schema=FLOW_SCHEMA)


def dns(*rows: dict[str, Any]) -> pl.DataFrame:
    """DNS rows; `told` gives the rows of one question and its answer."""
    numbers: dict[str, dict[Any, int]] = {"client": {}, "resolver": {}, "question": {}}
    made = [
        row | {f"{column}_id": known.setdefault(row[column], len(known)) for column, known in numbers.items()}
        for row in rows
    ]
    return pl.DataFrame(made, schema=DNS_SCHEMA)


def row(at: float, **fields: Any) -> dict[str, Any]:
    full: dict[str, Any] = dict.fromkeys(DNS_SCHEMA) | {
        "tick": (START + int(at)) * 1000, "time": int((START + at) * SECOND), "kind": "answer",
        "scope": "internal", "client": API, "resolver": RESOLVER, "client_port": 5353, "resolver_port": 53,
        "query_id": 7, "matched": True, "type": 1, "ttl": 60, "section": "answer", "rcode": 0,
        "message_bytes": 50, "record_index": 0,
    }  # fmt: skip
    full |= fields
    return full | {"client": parse(full["client"]), "resolver": parse(full["resolver"])}


def told(at: float, names: list[str], address: str, **fields: Any) -> list[dict[str, Any]]:
    """A question for names[0], and the answer: CNAMEs through the other names to the address."""
    asked = {"kind": "question", "section": "question", "ttl": None, "rcode": None, "matched": False}
    rows = [row(at - 0.01, question=names[0], **asked, **fields)]
    for index, (owner, target) in enumerate(itertools.pairwise(names)):
        alias = {"owner": owner, "type": 5, "value": target, "record_index": index}
        rows.append(row(at, question=names[0], **(alias | fields)))
    last = {"owner": names[-1], "value": address, "address": parse(address), "record_index": len(names)}
    return [*rows, row(at, question=names[0], **(last | fields))]


NO_FLOWS, NO_DNS = pl.DataFrame(schema=FLOW_SCHEMA), pl.DataFrame(schema=DNS_SCHEMA)


def attribute(
    stage: Attributor, flow_rows: pl.DataFrame, dns_rows: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Attribute a batch, and give all columns whole."""
    out, out_dns = stage.attribute(flow_rows, dns_rows)
    return out.frame, out_dns.frame


def one(stage: Attributor, flow: dict[str, Any], *answers: dict[str, Any]) -> dict[str, Any]:
    """Attribute one flow row, and give what was added to it."""
    out, _ = attribute(stage, flows(flow), dns(*answers))
    assert out.height == 1
    return {column: out[column][0] for column in ATTRIBUTED if column not in INDEXES}
