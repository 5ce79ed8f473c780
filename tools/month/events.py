"""Events, and the rows of flows and DNS that the stages before the judge would make of them."""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from monitor.flow_batch import ATTRIBUTED, DNS_ATTRIBUTED, DNS_SCHEMA, FLOW_SCHEMA

from .world import HOUR, START, WORKLOADS, Service

NORMAL = -1  # the leak that a normal event belongs to
_FLOW = {**FLOW_SCHEMA, **ATTRIBUTED}
_DNS = {**DNS_SCHEMA, **DNS_ATTRIBUTED}
_DEFAULTS: dict[str, Any] = {
    "out": 0,
    "back": 0,
    "initiator": "local",
    "local_port": None,
    "remote_port": 443,
    "protocol": 6,
    "application": "tls",
    "flags": 27,
    "age": 0.0,
    "connection": None,
    "address": None,
    "leak": NORMAL,
}


class Events:
    """Gathers events in pieces; a piece is arrays or single values by the names of `_DEFAULTS`.

    ``time`` is in seconds since START, ``out`` and ``in`` are payload bytes, ``age`` is how long before the
    row its connection began, ``connection`` numbers connections within a piece that has several rows each.
    """

    def __init__(self, seed: int, days: float) -> None:
        self.end = days * 86_400.0
        self.random = np.random.default_rng(seed)
        self.flows: list[pl.DataFrame] = []
        self.questions: list[pl.DataFrame] = []
        self.connections = 1
        self.ports = 0

    def add(self, workload: Any, service: Any, time: Any, **given: Any) -> None:
        """Add flow events of one service or of several (an array of names)."""
        times = np.asarray(time, dtype=float)
        count = len(times)
        if not count:
            return
        said = {**_DEFAULTS, **given}
        connection = said.pop("connection")
        numbers = np.arange(count) if connection is None else np.asarray(connection)
        if said["local_port"] is None:
            said["local_port"] = 32_768 + (self.connections + numbers) % 28_000
        if said["address"] is None:
            said["address"] = self.random.integers(0, 2**16, count)
        columns = {"workload": workload, "service": service, "time": times, **said}
        frame = pl.DataFrame(
            {
                **{name: _column(value, count) for name, value in columns.items()},
                "connection": self.connections + numbers,
            }
        )
        self.connections += int(numbers.max()) + 1
        casts = [pl.col("out", "back", "address", "local_port", "remote_port", "connection").cast(pl.Int64)]
        frame = frame.filter(pl.col("time").is_between(0, self.end, closed="left"))
        self.flows.append(frame.with_columns(*casts, pl.col("leak", "protocol", "flags").cast(pl.Int64)))

    def ask(
        self, workload: Any, time: Any, question: Any, domain: Any, kind: int = 1, leak: int = NORMAL
    ) -> None:
        """Add DNS questions to the resolver inside; `question` ends in `domain`."""
        times = np.asarray(time, dtype=float)
        if len(times):
            columns = {
                "workload": workload,
                "time": times,
                "question": question,
                "domain": domain,
                "type": kind,
                "leak": leak,
            }
            frame = pl.DataFrame({name: _column(value, len(times)) for name, value in columns.items()})
            frame = frame.filter(pl.col("time").is_between(0, self.end, closed="left"))
            self.questions.append(frame.with_columns(pl.col("type", "leak").cast(pl.Int64)))

    def moments(self, count: float, days: tuple[float, float], *, by_day: float = 1.0) -> Any:
        """Draw moments; `by_day` 0: evenly; 1: as people work, with nights and weekends."""
        wanted = self.random.poisson(count * 3)
        times = self.random.uniform(days[0] * 86_400, days[1] * 86_400, wanted)
        hour = times / HOUR % 24
        weight = 0.15 + 0.85 * np.clip(np.sin((hour - 6) / 16 * np.pi), 0, 1)
        weight = np.where(times // 86_400 % 7 >= 5, weight * 0.5, weight)  # START is a Monday
        keep = (1 - by_day) / 3 + by_day * weight / 2
        return np.sort(times[self.random.uniform(0, 1, wanted) < keep])

    def sizes(self, count: int, middle: float, spread: float = 0.8) -> Any:
        """Draw sizes: log-normal, as transfers are."""
        return np.maximum(1, self.random.lognormal(np.log(middle), spread, count)).astype(np.int64)

    def bulk(
        self,
        workload: str,
        service: str,
        start: float,
        size: float,
        *,
        rate: float,
        leak: int = NORMAL,
        **given: Any,
    ) -> None:
        """Add one long upload of `size` bytes: a row every ten seconds at most, `rate` in bytes a second."""
        count = max(1, int(size / (rate * 10)))
        count = min(count, 2000)
        step = size / rate / count
        ages = np.arange(count) * step
        self.add(
            workload,
            service,
            start + ages,
            out=np.full(count, int(size / count)),
            back=200,
            age=ages,
            connection=np.zeros(count, dtype=int),
            address=0,
            leak=leak,
            **given,
        )


def _column(value: Any, count: int) -> Any:
    return value if isinstance(value, np.ndarray | list) else [value] * count


def flow_rows(
    events: Events, services: Mapping[str, Service], published: Mapping[str, Sequence[int]]
) -> pl.DataFrame:
    """Give rows of `FLOW_SCHEMA` with `ATTRIBUTED` in the order of ticks, and beside them ``leak``."""
    names = list(services)
    table = pl.DataFrame(
        {
            "service": names,
            "provider": [services[name].provider for name in names],
            "network_provider": [services[name].carried_by or services[name].provider for name in names],
            "category": pl.Series([services[name].category for name in names], dtype=_FLOW["category"]),
            "country": [services[name].country for name in names],
            "asn": [services[name].asn for name in names],
            "dns_name": pl.Series([services[name].name for name in names], dtype=pl.String),
            "addresses": [services[name].addresses for name in names],
            "base": [int(IPv4Address(services[name].first)) for name in names],
        }
    )
    local = pl.DataFrame(
        {
            "workload": WORKLOADS,
            "own": [int(IPv4Address("10.30.1.0")) + place for place in range(len(WORKLOADS))],
        }
    )
    joined = (
        pl.concat(events.flows).join(table, on="service", how="left").join(local, on="workload", how="left")
    )
    joined = joined.sort("time", maintain_order=True)
    is_local = pl.col("initiator") == "local"
    tick = (START + pl.col("time").floor()).cast(pl.Int64)
    seen = ((START + pl.col("time")) * 1e9).cast(pl.Int64)
    began = ((START + pl.col("time") - pl.col("age")) * 1e9).cast(pl.Int64)
    by_name = pl.col("dns_name").is_not_null() & is_local
    # a segment's payload with time stamps (RFC 7323) is 1448 bytes; every second one is acknowledged
    packets_out = 1 + pl.col("out") // 1448 + pl.col("back") // 2896
    packets_in = (
        pl.when(pl.col("flags") == 2).then(0).otherwise(1 + pl.col("back") // 1448 + pl.col("out") // 2896)
    )
    is_published = pl.any_horizontal(
        (pl.col("workload") == workload) & pl.col("local_port").is_in(ports)
        for workload, ports in published.items()
    )
    columns: dict[str, pl.Expr] = {
        "tick": (tick * 1000).cast(_FLOW["tick"]),
        "flow_id": pl.col("connection").cast(pl.UInt64),
        "scope": pl.lit("egress"),
        "started": began.cast(_FLOW["started"]),
        "first_seen": seen.cast(_FLOW["first_seen"]),
        "last_seen": seen.cast(_FLOW["last_seen"]),
        "local_address": _packed(pl.col("own")),
        "remote_address": _packed(pl.col("base") + pl.col("address") % pl.col("addresses")),
        "local_port": pl.col("local_port"),
        "remote_port": pl.col("remote_port"),
        "protocol": pl.col("protocol"),
        "initiator": pl.col("initiator"),
        "initiator_confidence": pl.lit("handshake"),
        "payload_out": pl.col("out"),
        "payload_in": pl.col("back"),
        "packets_out": packets_out,
        "packets_in": packets_in,
        "bytes_out": pl.col("out") + 52 * packets_out,
        "bytes_in": pl.col("back") + 52 * packets_in,
        "tcp_flags": pl.when(pl.col("protocol") == 6).then(pl.col("flags")).otherwise(0),
        "application": pl.col("application"),
        "name": pl.when(by_name & pl.col("application").is_in(["tls", "http"])).then("dns_name"),
        "ech": pl.lit(False),
        "interface": pl.lit("capture"),
        "ended": pl.lit("fin"),
        "workload": pl.col("workload"),
        "country": pl.col("country"),
        "asn": pl.col("asn"),
        "network_provider": pl.col("network_provider"),
        "service_provider": pl.when(by_name & pl.col("category").is_not_null()).then("provider"),
        "provider": pl.col("provider"),
        "category": pl.col("category"),
        "dns_name": pl.when(by_name).then("dns_name"),
        "evidence": pl.when(by_name).then(pl.lit("dns")).otherwise(pl.lit("asn")),
        "confidence": pl.lit("high"),
        "disagreement": pl.lit(False),
        "published": is_published & ~is_local,
        "encrypted_dns": pl.lit(False),
        "unasked_name": pl.lit(False),
    }
    return joined.select(*_typed(_FLOW, columns), "leak")


def dns_rows(events: Events) -> pl.DataFrame:
    """Give rows of `DNS_SCHEMA` with `DNS_ATTRIBUTED` in the order of ticks, and beside them ``leak``."""
    own = {name: int(IPv4Address("10.30.1.0")) + place for place, name in enumerate(WORKLOADS)}
    asked = pl.concat(events.questions).sort("time", maintain_order=True)
    left = pl.col("question").str.len_bytes() - pl.col("domain").str.len_bytes() - 1
    dots = [pl.col(name).str.count_matches(".", literal=True) for name in ("question", "domain")]
    has_labels = pl.col("question") != pl.col("domain")
    length = pl.when(has_labels).then(left - (dots[0] - dots[1] - 1)).otherwise(0).cast(pl.UInt32)
    columns: dict[str, pl.Expr] = {
        "tick": ((START + pl.col("time").floor()).cast(pl.Int64) * 1000).cast(_DNS["tick"]),
        "time": ((START + pl.col("time")) * 1e9).cast(pl.Int64).cast(_DNS["time"]),
        "kind": pl.lit("question"),
        "scope": pl.lit("internal"),
        "client": _packed(pl.col("workload").replace_strict(own, return_dtype=pl.Int64)),
        "resolver": pl.lit(bytes(10) + b"\xff\xff" + IPv4Address("10.30.0.2").packed),
        "client_port": pl.lit(50_000),
        "resolver_port": pl.lit(53),
        "matched": pl.lit(False),
        "question": pl.col("question"),
        "type": pl.col("type"),
        "section": pl.lit("question"),
        "message_bytes": pl.col("question").str.len_bytes() + 18,
        "workload": pl.col("workload"),
        "domain": pl.col("domain"),
        "question_bytes": length,
        "fresh_question_bytes": pl.when(pl.struct("workload", "question").is_first_distinct())
        .then(length)
        .otherwise(0),
        "listed": pl.lit(True),
    }
    return asked.select(*_typed(_DNS, columns), "leak")


def hourly(rows: pl.DataFrame, days: int) -> Iterator[pl.DataFrame]:
    """Cut rows at whole hours, each hour once, the empty ones too."""
    edges = [(START + hour * HOUR) * 1000 for hour in range(days * 24 + 1)]
    ticks = rows["tick"].to_physical()
    places = [int(ticks.search_sorted(edge)) for edge in edges]
    for begin, end in pairwise(places):
        yield rows.slice(begin, end - begin)


def _packed(number: pl.Expr) -> pl.Expr:
    """Give the 16 bytes of IPv4 addresses that are numbers."""
    octets = [(number // 256**place % 256).cast(pl.UInt8) for place in (3, 2, 1, 0)]
    hexed = pl.concat_str(
        pl.lit("00000000000000000000ffff"),
        *[
            octet.replace_strict({n: f"{n:02x}" for n in range(256)}, return_dtype=pl.String)
            for octet in octets
        ],
    )
    return hexed.str.decode("hex")


def _typed(schema: Mapping[str, Any], columns: Mapping[str, pl.Expr]) -> list[pl.Expr]:
    """Give every column of the schema with its type; what nobody says is 0 where it counts, else missing."""
    typed = []
    for name, dtype in schema.items():
        usual = (
            0 if name.endswith(("_out", "_in")) or name in ("tunnel_id", "query_id", "record_index") else None
        )
        typed.append(columns.get(name, pl.lit(usual)).cast(dtype).alias(name))
    return typed
