"""Pieces of HTML, everything from outside escaped; the only place where text becomes markup."""

import html
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

MAX_TEXT = 300  # characters of one value

EVIDENCE = {  # in words
    "dns": "DNS answer",
    "dns_shared": "shared DNS answer",
    "sni": "TLS server name",
    "quic_sni": "QUIC server name",
    "dtls_sni": "DTLS server name",
    "http_host": "HTTP Host",
    "http_connect": "proxy CONNECT",
    "socks": "SOCKS name",
    "prefix": "prefix list",
    "asn": "AS number",
    "none": "nothing tells",
}

_SECONDS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def escaped(value: object) -> str:
    """Make text safe inside HTML; control, direction and other unseen characters become visible."""
    text = str(value)
    seen = "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}" for character in text[:MAX_TEXT]
    )
    return html.escape(seen + ("…" if len(text) > MAX_TEXT else ""), quote=True)


def isolated(value: object) -> str:
    """Give escaped text that cannot turn the direction of what stands around it (HTML ``bdi``)."""
    return f"<bdi>{escaped(value)}</bdi>"


def link(address: str, text: object, query: Mapping[str, str] | None = None) -> str:
    """Give a link; `address` is relative to the page; its changing parts are quoted with `part`.

    Relative, because a reverse proxy may put the monitor under a path of its own (`external_url`).
    """
    whole = f"{address}?{urlencode(query)}" if query else address
    return f'<a href="{html.escape(whole, quote=True)}">{escaped(text)}</a>'


def part(text: str) -> str:
    """Quote one part of a path."""
    return quote(text, safe="")


def moment(nanoseconds: int) -> str:
    """Give a time as ``2025-12-04 21:08:31Z`` with what a machine reads, or a dash for 0."""
    if not nanoseconds:
        return "-"
    when = f"{datetime.fromtimestamp(nanoseconds // 10**9, UTC):%Y-%m-%d %H:%M:%S}Z"
    return f'<time datetime="{when.replace(" ", "T")}">{when}</time>'


def count(number: int, noun: str) -> str:
    """Give a number with its noun, as ``1 open alert`` and ``2 open alerts``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def age(seconds: float) -> str:
    """Give a time span in its two largest units: ``2d 3h``."""
    rest = max(0, round(seconds))
    parts: list[str] = []
    for size, letter in _SECONDS:
        if rest >= size or (size == 1 and not parts):
            parts.append(f"{rest // size}{letter}")
            rest %= size
    return " ".join(parts[:2])


def share(ratio: float) -> str:
    """Give a share in percent; never ``100 %`` or ``0 %`` for what is only near it."""
    percent = ratio * 100
    if 0 < percent < 0.1:
        return "under 0.1 %"
    return f"{min(percent, 99.9) if percent < 100 else 100:.1f} %"


def table(
    name: str,
    caption: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: frozenset[int] = frozenset(),
    empty: str,
) -> str:
    """Give a table; `rows` are cells of HTML, and `numbers` the places of columns of numbers.

    On a narrow screen each row is a card and each cell says its head, hence ``data-head``.
    """
    body = "\n".join(
        "<tr>"
        + "".join(
            f'<td data-head="{head}"{_NUMBER if place in numbers else ""}>{cell}</td>'
            for place, (head, cell) in enumerate(zip(heads, row, strict=True))
        )
        + "</tr>"
        for row in rows
    )
    if not body:
        return f'<p class="empty">{empty}</p>'
    titles = "".join(
        f'<th scope="col"{_NUMBER if place in numbers else ""}>{head}</th>'
        for place, head in enumerate(heads)
    )
    return (
        f'<div class="wide" id="{name}-table" role="region" aria-labelledby="{name}-caption" tabindex="0">'
        f'<table><caption id="{name}-caption">{caption}</caption>'
        f"<thead><tr>{titles}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


_NUMBER = ' class="number"'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Give a list of names and values; the values are HTML, empty ones are left out."""
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in pairs if value)
    return f'<dl class="facts">{items}</dl>'
