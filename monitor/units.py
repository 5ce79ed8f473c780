"""Sizes and times as people write them: ``64MiB``, ``1kB``, ``10m``, ``7d``.

Sizes: IEC prefixes (``KiB`` = 1024 bytes, IEC 80000-13) and SI prefixes (``kB`` = 1000 bytes).
Times: ``ms``, ``s``, ``m`` (minutes), ``h``, ``d``, ``w``; parts may be joined (``1h30m``).
"""

import re

_BYTES = {
    "": 1,
    "b": 1,
    **{f"{p}ib": 1024 ** (i + 1) for i, p in enumerate("kmgt")},
    **{f"{p}b": 1000 ** (i + 1) for i, p in enumerate("kmgt")},
}
_NANOSECONDS = {
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
    "w": 7 * 86400 * 10**9,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_TIME_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")


def parse_bytes(text: str | int) -> int:
    """Give a number of bytes; a bare number is bytes.

    Raises ValueError with a text for people where ``text`` is not a size.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        number = text
    else:
        match = _SIZE.fullmatch(str(text).strip())
        factor = _BYTES.get(match[2].lower()) if match else None
        if match is None or factor is None:
            raise ValueError(f"{text!r} is not a size; write it like 512KiB, 1MiB or 20MB")
        number = _whole(float(match[1]) * factor)
    if not 0 <= number < 2**63:
        raise ValueError(f"{text!r} is out of range for a size")
    return number


def parse_nanoseconds(text: str | int) -> int:
    """Give a duration in nanoseconds; a bare number is refused, since its unit would be a guess.

    Raises ValueError with a text for people where ``text`` is not a duration.
    """
    whole = str(text).strip()
    parts = _TIME_PART.findall(whole)
    if not parts or _TIME_PART.sub("", whole).strip():
        raise ValueError(f"{text!r} is not a duration; write it like 30s, 10m, 24h or 7d")
    number = _whole(sum(float(value) * _NANOSECONDS[unit] for value, unit in parts))
    if not 0 <= number < 2**62:
        raise ValueError(f"{text!r} is out of range for a duration")
    return number


def _whole(number: float) -> int:
    """Round; what so many digits stand for that it is no number any more is out of every range."""
    return round(number) if number < 2**63 else 2**63


def format_bytes(number: float) -> str:
    """Write a number of bytes with an IEC prefix and three significant digits: ``2.4 GiB``."""
    for prefix in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(number) < 1024 or prefix == "TiB":
            return f"{number:.0f} {prefix}" if prefix == "B" else f"{number:.1f} {prefix}"
        number /= 1024
    raise AssertionError("unreachable: the last prefix always returns")


def format_duration(nanoseconds: int) -> str:
    """Write a duration with its two largest units: ``22d 4h``, ``1m 5s``, ``250ms``."""
    if nanoseconds < 10**9:
        return f"{nanoseconds / 10**6:.0f}ms"
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, nanoseconds = divmod(nanoseconds, _NANOSECONDS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
