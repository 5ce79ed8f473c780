"""The impact as one HTML page: no script, no other file, and a timeline that prints well.

Everything that stands in it is escaped; its style is the only thing that a content security policy has to
allow (``style-src 'unsafe-inline'``).
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import escape

from monitor.evidence.impact import Impact, Outsider
from monitor.terminal import visible
from monitor.units import format_bytes, format_duration

ROWS = 500  # addresses of each kind; the JSON has them all
WIDTH, HEIGHT, LEFT, BOTTOM = 760, 180, 64, 26
TOOK, OTHERS = "#a40e26", "#6e7781"  # told apart in grey too

_STYLE = """
:root { color-scheme: light; }
body { font: 14px/1.45 system-ui, "DejaVu Sans", sans-serif; color: #1b1f24; background: #fff;
  max-width: 860px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; margin: 0 0 .2em; } h2 { font-size: 1.1em; margin: 1.6em 0 .4em; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .25em .6em .25em 0;
  border-bottom: 1px solid #d0d7de; vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; border-bottom: 2px solid #8c959f; }
td.n, th.n { text-align: right; white-space: nowrap; padding-right: 1.4em; }
.facts { display: flex; flex-wrap: wrap; gap: .6em 2.4em; margin: 1em 0; } .facts div { min-width: 9em; }
.facts b { display: block; font-size: 1.35em; font-weight: 600; } .took b { color: #a40e26; }
.note { color: #57606a; } svg { width: 100%; height: auto; } text { font-size: 11px; fill: #57606a; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } h2 { break-after: avoid; }
  tr, svg, .facts { break-inside: avoid; } thead { display: table-header-group; } @page { margin: 15mm; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(impact: Impact, title: str, made: str) -> str:
    """Give the page; `title` names what it is about, `made` when and by what it was made."""
    data, little, nothing = (impact.who(got) for got in ("data", "little", "nothing"))
    parts = [
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>",
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_text(title)}</h1><p class=note>{_text(made)}</p>",
        _facts(impact, data),
        f"<p>How it is told: {_text(impact.criterion)}.</p>",
        *[f"<p class=note>Note: {_text(note)}</p>" for note in impact.notes],
        "<h2>Payload sent to outsiders, by the time that their connections began (UTC)</h2>",
        timeline(impact),
        "<h2>What answered</h2>",
        _services(impact),
        f"<h2>Who got data ({len(data):,})</h2>",
        _outsiders(data),
        f"<h2>Who got little ({len(little):,})</h2>",
        _outsiders(little),
    ]
    if nothing:
        parts += [f"<h2>Who got nothing ({len(nothing):,})</h2>", _outsiders(nothing)]
    if impact.left_out:
        parts.append(f"<p>{impact.left_out:,} more addresses had no room.</p>")
    parts += ["<h2>Where it went</h2>", _where(impact), "</body></html>\n"]
    return "\n".join(parts)


def timeline(impact: Impact) -> str:
    """Draw the timeline as SVG: bars of payload, a dot where connections began."""
    line = impact.timeline
    bars = list(zip(line["data"], line["little"], line["connections"], strict=True))
    if not bars:
        return "<p>No outsider was answered.</p>"
    largest = max(1, *(taken + little for taken, little, _ in bars))
    step = (WIDTH - LEFT) / len(bars)
    room = HEIGHT - 14  # above it stands nothing
    drawn = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + BOTTOM + 18}" role=img aria-label="payload over time">',
        _line(HEIGHT, "#8c959f"),
    ]
    for share in (0.5, 1.0):
        y = HEIGHT - share * room
        drawn += [_line(y, "#d0d7de"), _label(LEFT - 6, y + 4, "end", format_bytes(largest * share))]
    for place, (taken, little, connections) in enumerate(bars):
        x, top = LEFT + place * step, float(HEIGHT)
        for sent, colour in ((taken, TOOK), (little, OTHERS)):
            if sent:
                tall = max(2.0, sent / largest * room)  # what is not 0 is seen, however small
                top -= tall
                size = f'width="{step - 1:.1f}" height="{tall:.1f}"'
                drawn.append(f'<rect x="{x + 0.5:.1f}" y="{top:.1f}" {size} fill="{colour}"/>')
        if connections:
            drawn.append(f'<circle cx="{x + step / 2:.1f}" cy="{HEIGHT + 6}" r="2" fill="#1b1f24"/>')
    drawn += _axis(str(line["begins"]), line["bin_seconds"], len(bars), step)
    legend = (
        f'<tspan fill="{TOOK}">■</tspan> to those who got data <tspan fill="{OTHERS}">■</tspan> to others '
        f"● connections began; a bar is {format_duration(round(line['bin_seconds'] * 1e9))}"
    )
    drawn.append(f'<text x="{LEFT}" y="{HEIGHT + BOTTOM + 14}">{legend}</text></svg>')
    return "\n".join(drawn)


def _line(y: float, colour: str) -> str:
    return f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH}" y2="{y:.1f}" stroke="{colour}"/>'


def _label(x: float, y: float, anchor: str, words: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_text(words)}</text>'


def _axis(begins: str, width: float, bins: int, step: float) -> list[str]:
    start = datetime.fromisoformat(begins.replace("Z", "+00:00")).astimezone(UTC)
    form = "%Y-%m-%d" if width * bins > 3 * 86400 else "%m-%d %H:%M"
    drawn = []
    for quarter, anchor in enumerate(("start", "middle", "middle", "middle", "end")):
        place = quarter * bins / 4
        moment = start + timedelta(seconds=place * width)
        drawn.append(_label(LEFT + place * step, HEIGHT + BOTTOM - 4, anchor, f"{moment:{form}}"))
    return drawn


def _facts(impact: Impact, data: Sequence[Outsider]) -> str:
    sent = sum(one.sent_bytes for one in data)
    facts = [
        ("", "answered outsiders since", _moment(impact.since)),
        ("took", "data left since", _moment(impact.first_data)),
        ("", "last seen", _moment(impact.until)),
        ("took", "addresses that got data", f"{len(data):,} of {len(impact.outsiders):,}"),
        ("took", "they got", format_bytes(sent)),
    ]
    shown = [f'<div class="{kind}">{_text(label)}<b>{_text(value)}</b></div>' for kind, label, value in facts]
    return f"<div class=facts>{''.join(shown)}</div>"


def _services(impact: Impact) -> str:
    rows = [
        [
            service["workload"], f"{service['address']}:{service['port']}", service["application"],
            f"{service['connections']:,}", format_bytes(service["sent_bytes"]), _moment(service["since"]),
        ]
        for service in impact.services[:ROWS]
    ]  # fmt: skip
    headings = ["workload", "address", "speaks", "connections", "sent", "since (UTC)"]
    return _table(headings, rows, numbers={3, 4})


def _outsiders(outsiders: Sequence[Outsider]) -> str:
    rows = [
        [
            one.address, one.country or "?", one.network or "?", f"{one.connections:,}",
            format_bytes(one.sent_bytes), _moment(one.first), _moment(one.last),
        ]
        for one in outsiders[:ROWS]
    ]  # fmt: skip
    headings = ["address", "country", "network", "connections", "got", "first (UTC)", "last (UTC)"]
    more = len(outsiders) - ROWS
    rest = f"<p class=note>and {more:,} more; --json has them all</p>" if more > 0 else ""
    return _table(headings, rows, numbers={3, 4}) + rest if rows else "<p>None.</p>"


def _where(impact: Impact) -> str:
    rows = [["country", name, format_bytes(sent)] for name, sent in list(impact.countries.items())[:ROWS]]
    rows += [["network", name, format_bytes(sent)] for name, sent in list(impact.networks.items())[:ROWS]]
    return _table(["", "which", "payload"], rows, numbers={2})


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: set[int]) -> str:
    def cells(tag: str, words: Sequence[str]) -> str:
        kinds = [" class=n" if place in numbers else "" for place in range(len(words))]
        return "".join(f"<{tag}{kind}>{_text(word)}</{tag}>" for kind, word in zip(kinds, words, strict=True))

    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', headings)}</tr></thead>\n<tbody>{body}</tbody></table>"


def _moment(time: str | None) -> str:
    return f"{time[:10]} {time[11:16]}" if time else "-"


def _text(text: str) -> str:
    """Escape text for HTML; what a screen does not show as itself is written out."""
    return escape(visible(text))
