from ipaddress import ip_address

import polars as pl

from monitor.address_text import to_packed
from monitor.flow_batch import FLOW_SCHEMA
from monitor.flow_rows import FlowRows
from monitor.identity.columns import WorkloadIdentity
from monitor.identity.owners import Owners
from monitor.identity.processes import Owner

OURS, THEIRS, OTHERS = (to_packed(ip_address(text)) for text in ("10.0.0.1", "192.0.2.1", "10.9.9.9"))
API = Owner("api", "api.service", None, None)
BEGAN = 1_780_012_800_123_456_789  # more than a float or microseconds can tell


class Finder(Owners):
    """Knows the owners of connections by their local port."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, Owner] = {}
        self.asked: list[int] = []  # when the flows began that were asked for

    def find(
        self, protocol: int, local: bytes, local_port: int, remote: bytes, remote_port: int, began: int = 0
    ) -> Owner | None:
        self.asked.append(began)
        return self.known.get(local_port)

    def is_ours(self, address: bytes) -> bool:
        return address == OURS


def rows(*flows: tuple[int, int, str | None], local: bytes = OURS, protocol: int = 6) -> pl.DataFrame:
    """Rows of flow id, local port, ended."""
    same = {
        "scope": "egress", "protocol": protocol, "local_address": local, "remote_address": THEIRS,
        "remote_port": 443, "started": BEGAN,
    }  # fmt: skip
    made = [same | {"flow_id": flow_id, "local_port": port, "ended": end} for flow_id, port, end in flows]
    return pl.DataFrame(made, schema={name: FLOW_SCHEMA[name] for name in made[0]})


def processes(identity: WorkloadIdentity, flows: pl.DataFrame) -> list[str | None]:
    columns = identity.columns(FlowRows(flows))
    assert [column.name for column in columns] == ["process", "unit", "container", "pod"]
    return columns[0].to_list()


def test_an_owner_fills_the_rows_from_when_it_is_known() -> None:
    finder = Finder()
    identity = WorkloadIdentity(finder)
    assert processes(identity, rows((1, 5000, None))) == [None]
    assert finder.asked == [BEGAN]
    finder.known[5000] = API
    three = rows((1, 5000, None), (2, 5001, None), (1, 5000, None))
    assert processes(identity, three) == ["api", None, "api"]
    finder.known.clear()
    assert processes(identity, rows((1, 5000, "fin"))) == ["api"]
    assert identity.counts == {"found": 1, "missed": 0}


def test_connections_that_end_unseen_are_counted_once() -> None:
    identity = WorkloadIdentity(Finder())
    processes(identity, rows((1, 5000, "fin"), (1, 5000, None), (2, 5001, "idle")))
    processes(identity, rows((1, 5000, "fin")))
    # another host's, seen on a mirror, and what is no connection
    processes(identity, rows((3, 5002, "fin"), local=OTHERS))
    processes(identity, rows((4, 0, "idle"), protocol=1))
    assert identity.counts == {"found": 0, "missed": 2}


def test_trouble_is_told_once() -> None:
    finder = Finder()
    identity = WorkloadIdentity(finder)
    assert identity.trouble() is None
    finder.trouble = "no right"
    assert identity.trouble() == "no right"
    assert identity.trouble() is None
