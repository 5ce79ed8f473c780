"""The rows of a rule's tests: what is written in the file, and usual values for the rest.

A row is a mapping of column names to the values a batch has: addresses packed in 16 bytes, closed sets
as their names, missing values None. ``tick`` is in seconds since 1970.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from monitor import address_text, units
from monitor.flow_batch import ATTRIBUTED, DNS_ATTRIBUTED, DNS_SCHEMA, FLOW_SCHEMA
from monitor.judge.condition import Vocabulary, check_word, parse_number, parse_text, parse_yes_no
from monitor.judge.fields import FIELDS, NONE, Field, Record
from monitor.yaml_file import nearest

SECOND = 10**9
AFTER = "after"  # of a row: how long after the start of the test it comes
REPEAT = "repeat"  # how many such rows, each a connection of its own
EVERY = "every"  # how long after each other these come; default: all at once
VARY = "vary"  # the field that is another in each of them
_ABOUT = (AFTER, REPEAT, EVERY, VARY)
MAX_ROWS = 10_000  # of a test
LAST = 2**63 // SECOND  # seconds since 1970 that have nanoseconds
_COMPUTED = ("any_provider", "answer")

# documentation addresses (RFC 5737), an ephemeral port (RFC 6335 section 6), PSH and ACK (RFC 9293)
_FLOW_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys([*FLOW_SCHEMA, *ATTRIBUTED]),
    "scope": "egress",
    "local_address": "10.0.0.1",
    "remote_address": "203.0.113.1",
    "local_port": 50_000,
    "remote_port": 443,
    "protocol": 6,
    "initiator": "local",
    "initiator_confidence": "handshake",
    **dict.fromkeys(("bytes_in", "packets_in", "payload_in", "payload_out", "tunnel_id"), 0),
    **dict.fromkeys(("credentials_out", "emails_out", "cards_out", "ibans_out", "secrets_out"), 0),
    "personal_data_out": 0,
    "tcp_flags": 0x18,
    "application": "unknown",
    "ech": False,
    "interface": "capture",
    "workload": "api",
    "confidence": "high",
    "disagreement": False,
    "published": False,
    "encrypted_dns": False,
    "unasked_name": False,
}
_DNS_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys([*DNS_SCHEMA, *DNS_ATTRIBUTED]),
    "kind": "question",
    "scope": "internal",
    "client": "10.0.0.1",
    "resolver": "10.0.0.2",
    "client_port": 50_000,
    "resolver_port": 53,
    "query_id": 1,
    "matched": False,
    "type": 1,
    "section": "question",
    "message_bytes": 40,
    "record_index": 0,
    "workload": "api",
    "domain": "example.com",
    "question_bytes": 0,
    "fresh_question_bytes": 0,
    "listed": True,
}
Row = dict[str, Any]


def parse_rows(
    written: Sequence[Mapping[str, Any]], record: Record, providers: Collection[str], start: int
) -> Iterator[Row]:
    """Make the rows of the entries of a test that starts at `start` (seconds).

    Raises RowError, which tells the entry.
    """
    count = 0
    for place, entry in enumerate(written):
        try:
            for row in _repeated(entry, record, providers, start):
                count += 1
                if count > MAX_ROWS:
                    raise ValueError(f"a test has at most {MAX_ROWS} rows")
                if record == "flows":
                    row["flow_id"] = count
                yield row
        except ValueError as error:
            raise RowError(place, str(error)) from error


class RowError(ValueError):
    """What is wrong with the entry at `place`."""

    def __init__(self, place: int, message: str) -> None:
        super().__init__(message)
        self.place = place


def _repeated(
    entry: Mapping[str, Any], record: Record, providers: Collection[str], start: int
) -> Iterator[Row]:
    repeat = entry.get(REPEAT, 1)
    if isinstance(repeat, bool) or not isinstance(repeat, int) or not 1 <= repeat <= MAX_ROWS:
        raise ValueError(f"repeat: {repeat!r} is not a number of rows, from 1 to {MAX_ROWS}")
    every = units.parse_nanoseconds(entry[EVERY]) // SECOND if EVERY in entry else 0
    vary = entry.get(VARY)
    if vary is not None and not (isinstance(vary, str) and vary in entry):
        raise ValueError(f"vary: the row says nothing of {vary!r}{nearest(str(vary), entry)}")
    vocabulary = Vocabulary(providers, None, ())
    written = {name: value for name, value in entry.items() if name not in (REPEAT, EVERY, VARY)}
    given, after = _given(written, record, vocabulary)
    for number in range(repeat):
        if vary is not None and number:
            varied, moved = _given({vary: _another(entry[vary], number)}, record, vocabulary)
            given, after = given | varied, moved if vary == AFTER else after
        yield _row(given, record, start + after + number * every)


def _another(value: Any, number: int) -> Any:
    """Give the value that comes so many after this one: counted up, or with the number in front."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value + number
    try:
        return str(ip_address(str(value)) + number)
    except ValueError:
        return f"{number}.{value}"


def parse_row(written: Mapping[str, Any], record: Record, providers: Collection[str], start: int) -> Row:
    """Make the row of one ``flows`` or ``dns`` entry of a test that starts at `start` (seconds).

    Raises ValueError with a text for people: a field that no row has, a value that it cannot have.
    """
    given, after = _given(written, record, Vocabulary(providers, None, ()))
    return _row(given, record, start + after)


def _given(written: Mapping[str, Any], record: Record, vocabulary: Vocabulary) -> tuple[Row, int]:
    """Read what an entry says of its row, and how many seconds after the start of the test it comes."""
    known = FIELDS[record]
    after = units.parse_nanoseconds(written[AFTER]) // SECOND if AFTER in written else 0
    given: Row = {}
    for name, value in written.items():
        if name == AFTER:
            continue
        if name in _COMPUTED or name not in known:
            right = [*_ABOUT, *(field for field in known if field not in _COMPUTED)]
            raise ValueError(f"no row carries {name!r}{nearest(str(name), right)}")
        given[name] = parse_value(known[name], value, vocabulary)
    return given, after


def _row(given: Row, record: Record, tick: int) -> Row:
    if not abs(tick) < LAST:
        raise ValueError("a row comes before the year 2262, the last whose nanoseconds are a number")
    if record == "dns":
        return _packed({**_DNS_DEFAULTS, **given, "tick": tick, "time": tick * SECOND})
    return _packed(_flow({**_FLOW_DEFAULTS, **given}, given, tick))


@lru_cache(4096)  # the rows of a test have few addresses, and most are of other tests too
def _address(text: str) -> str:
    return str(ip_address(text))


@lru_cache(4096)
def _packed_address(text: str) -> bytes:
    return address_text.to_packed(ip_address(text))


def parse_value(field: Field, value: Any, vocabulary: Vocabulary) -> Any:
    """Read the value of a field of a row, None for ``none``; an address stays text. Raises ValueError."""
    if value is None or (value == NONE and NONE not in field.words):
        return None
    if field.kind == "yes_no":
        return parse_yes_no(value)
    if field.kind == "number":
        return parse_number(field, value)
    if field.kind == "address":
        return _address(str(value))
    text = parse_text(field, value)
    check_word(field, text, vocabulary)
    return text


def _flow(row: Row, given: Row, tick: int) -> Row:
    """Fill in what follows from the rest, as the stages before would."""
    row.update(tick=tick, started=tick * SECOND, first_seen=tick * SECOND, last_seen=tick * SECOND)
    row["flow_id"] = 1
    if "provider" not in given:
        row["provider"] = row["network_provider"] or row["service_provider"]
    if "network_provider" not in given and "service_provider" not in given:
        row["network_provider"] = row["provider"]
    if "evidence" not in given:
        row["evidence"] = "sni" if row["name"] else "prefix" if row["network_provider"] else "none"
    if "dns_name" not in given and row["evidence"] in ("dns", "dns_shared"):
        row["dns_name"] = row["name"]
    # 1448: a full segment's payload with TCP time stamps (RFC 7323 section 3) on Ethernet, 52 its headers
    if "packets_out" not in given:
        row["packets_out"] = max(1, -(-(row["payload_out"] or 0) // 1448))
    if "bytes_out" not in given:
        sent = (row["payload_out"] or 0) + 52 * (row["packets_out"] or 0)
        row["bytes_out"] = min(sent, FIELDS["flows"]["bytes_out"].largest)
    return row


def _packed(row: Row) -> Row:
    for name in ("local_address", "remote_address", "client", "resolver", "address"):
        if row.get(name) is not None:
            row[name] = _packed_address(row[name])
    return row
