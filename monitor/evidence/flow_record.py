"""What a line of a capsule's flows must be: a capsule comes from anywhere, and may be cut off or made up."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

_TEXTS = ("flow_id", "local_address", "remote_address")
_TIMES = ("first_seen", "last_seen")
# each below this power of two; tshark, which is given ports, stops at one that is none
_NUMBERS = {
    **dict.fromkeys(("protocol", "tcp_flags"), 8),
    **dict.fromkeys(("local_port", "remote_port"), 16),
    **dict.fromkeys(("bytes_out", "bytes_in", "packets_out", "packets_in", "payload_out", "payload_in"), 64),
}
_MAY_MISS = (
    "scope", "initiator", "application", "name", "ja4", "workload", "country", "as_name", "network_provider",
)  # fmt: skip
# all of one form, so that as text they are in the order of time
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", re.ASCII)


def parse(line: bytes) -> dict[str, Any]:
    """Read one connection as `alert_flows.as_records` gives it; raises ValueError where it is none."""
    try:
        flow = json.loads(line)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    if not isinstance(flow, dict):
        raise ValueError("is no object")
    wrong = next((name for name, is_right in _RIGHT.items() if not is_right(flow.get(name))), None)
    if wrong is not None:
        raise ValueError(f"{wrong}: is missing or no such value")
    found: dict[str, Any] = flow
    return found


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(bits: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and 0 <= value < 2**bits


def _is_text_or_nothing(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_moment(value: Any) -> bool:
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return False
    # a packet's time is a number of nanoseconds since 1970, below 2**63
    if not "1970" <= value[:4] < "2262":
        return False
    try:
        datetime.fromisoformat(value[:19])
    except ValueError:
        return False
    return True


_RIGHT = {
    **dict.fromkeys(_TEXTS, _is_text),
    **dict.fromkeys(_TIMES, _is_moment),
    **{name: _is_number(bits) for name, bits in _NUMBERS.items()},
    **dict.fromkeys(_MAY_MISS, _is_text_or_nothing),
}
