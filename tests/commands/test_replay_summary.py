import io
from types import SimpleNamespace
from typing import Any

import polars as pl

from monitor import terminal
from monitor.commands import replay_summary
from monitor.flow_batch import EVIDENCES, Counters
from monitor.totals import KEYS, SUMS

# 2025-12-04T00:00:00Z, by `date -u -d 2025-12-04 +%s`
DAY = 1_764_806_400 * 10**9
SCHEMA = dict.fromkeys(KEYS, pl.String) | dict.fromkeys(SUMS, pl.UInt64)
BATCH = (
    "batch",
    "alibaba",
    "Alibaba (US) Technology Co., Ltd.",
    "SG",
    "dns",
    "a.oss.example",
    6 * 2**20,
    7 * 2**20,
    2048,
    1,
)
HOSTILE = ("api", None, None, None, "none", "\x1b[2J[red]\u202eevil", 1024, 2048, 0, 1)


def shown(rows: list[tuple[Any, ...]], **changes: Any) -> str:
    result = {
        "totals": pl.DataFrame(rows, schema=SCHEMA, orient="row"),
        "alerts": [],
        "counters": Counters(frames={"capture": 12}, wire_bytes={"capture": 3 * 2**20}),
        "span": (DAY, DAY + 25 * 86400 * 10**9),
        "transit_hint": None,
        **changes,
    }
    stream = io.StringIO()
    replay_summary.show(SimpleNamespace(**result), terminal.console(stream))  # type: ignore[arg-type]
    return stream.getvalue()


def alert(**changes: Any) -> SimpleNamespace:
    values = {
        "id": "1", "rule": "unsanctioned-cloud", "severity": "critical", "workload": "batch",
        "provider": "alibaba", "sent_bytes": 6 * 2**20, "began": DAY, "ended": None, **changes,
    }  # fmt: skip
    return SimpleNamespace(**values)


def test_says_who_sent_how_much_to_whom_and_how_we_know() -> None:
    line = next(line for line in shown([BATCH]).splitlines() if line.startswith("batch"))
    assert " ".join(line.split()) == "batch 6.0 MiB 2.0 KiB 1 alibaba SG a.oss.example DNS answer"


def test_the_largest_comes_first_and_the_rest_is_summed() -> None:
    rows = [
        (f"w{number}", "aws", None, "DE", "asn", None, number * 2**20, 0, 0, 1) for number in range(1, 31)
    ]
    text = shown(rows)
    order = [line.split()[0] for line in text.splitlines() if line.startswith("w") and "aws" in line]
    assert order == [f"w{number}" for number in range(30, 10, -1)]
    # the ten smallest: 1 + 2 + ... + 10 = 55 MiB
    assert "and 10 more rows that sent 55.0 MiB together" in text


def test_text_from_the_wire_cannot_steer_the_terminal() -> None:
    text = shown([HOSTILE])
    assert "\\u{1b}[2J[red]\\u{202e}evil" in text.replace("\n", "")
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_every_line_fits_a_hundred_columns() -> None:
    long = ("w" * 60, "p" * 40, "a" * 90, "DE", "dns_shared", "n" * 200, 2**60, 2**60, 2**60, 2**40)
    text = shown([long, BATCH], alerts=[alert(rule="r" * 80, workload="w" * 60)])
    assert max(map(len, text.splitlines())) <= terminal.WIDTH


def test_worst_alerts_first_open_ones_say_so() -> None:
    alerts = [
        alert(rule="mild", severity="info"),
        alert(rule="late", began=DAY + 10**9),
        alert(rule="early", ended=DAY + 90 * 10**9),
    ]
    lines = [line.split() for line in shown([BATCH], alerts=alerts).splitlines()]
    rows = [cells for cells in lines if cells and cells[0] in ("critical", "info")]
    assert [cells[1] for cells in rows] == ["early", "late", "mild"]
    assert rows[0][-4:] == ["2025-12-04", "00:00", "1m", "30s"]
    assert rows[1][-1] == "open"


def test_coverage_tells_what_was_not_judged() -> None:
    counters = Counters(
        frames={"capture": 1200},
        wire_bytes={"capture": 2048},
        undecoded_frames={"not_ip": 3, "ip_truncated": 9, "ip_version": 0},
        dropped_frames={("eth0", "ring"): 4},
    )
    text = " ".join(shown([], counters=counters).split())
    assert "Nothing left the local networks." in text
    assert "No alert." in text
    coverage = "1,200 frames, 2.0 KiB on the wire; 12 undecoded (ip_truncated 9, not_ip 3); 4 dropped."
    assert f"Coverage: {coverage} 2025-12-04 00:00 to 2025-12-29 00:00 UTC, 25d." in text


def test_transit_hint_is_told() -> None:
    text = shown([], transit_hint="say --local 203.0.113.7")
    assert "Which side is ours? say --local 203.0.113.7" in text
    assert "Nothing left" not in text


def test_a_network_outside_the_catalogue_says_what_it_calls_itself() -> None:
    row = ("api", "as64500", "Example Net\x1b[2J", "DE", "asn", None, 1024, 2048, 0, 1)
    text = " ".join(shown([row]).split())
    assert "as64500 Example" in text
    assert "\x1b" not in text


def test_every_evidence_has_words() -> None:
    assert set(replay_summary.EVIDENCE) == set(EVIDENCES)


def test_says_whose_names_may_be_missing() -> None:
    assert "Names may be missing" not in shown([BATCH])
    asked = {f"w{number}": number for number in range(1, 8)} | {"\x1b[2J": 9}
    text = shown([BATCH], counters=Counters(encrypted_dns=asked))
    line = next(line for line in text.splitlines() if line.startswith("Names may be missing"))
    assert "w7, w6, w5, w4 and 3 more asked DNS over TLS, HTTPS or" in line
    assert "\x1b" not in text
