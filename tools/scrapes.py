"""What a scrape takes at the full budget while the whole line works: clients are processes of their own.

    .venv/bin/python -I tools/scrapes.py CAPTURE [--scrapes 100] [--share 1]

The line takes the capture as fast as it can, over and over, with a reload each time; all rows of
the budget change with each batch. `curl` scrapes as Prometheus
does: one connection, zipped, four times a second. The official client's writer is measured in the same run.
"""

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from monitor import pipeline
from monitor.capture import Capture
from monitor.config import Config
from monitor.flow_batch import ATTRIBUTED, FLOW_SCHEMA, Counters
from monitor.judge.engine import Counters as JudgeCounters
from monitor.publish.collector import collect
from monitor.publish.exposition import ExpositionWriter
from monitor.publish.http import HttpServer
from monitor.publish.publisher import Publisher
from monitor.spare_collector import spare_collector

KEYS = 2500  # more than the budget has rows
RATE = "4/s"  # scrapes of one client
WAYS = {"zipped": ("--header", "Accept-Encoding: gzip"), "plain": ()}


class _Official(Collector):
    """The same families for the official writer."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def collect(self) -> Iterator[Metric]:
        for family in collect(self._publisher.snapshot):
            metric = Metric(family.name, family.text, family.kind)
            for suffix, labels, rows in family.groups:
                for values, number in rows:
                    metric.add_sample(family.name + suffix, dict(zip(labels, values, strict=True)), number)
            yield metric


class _Line:
    """The line at work on a thread of its own, until it is stopped."""

    def __init__(self, capture: Path, share: float) -> None:
        self._capture = capture
        self._share = share
        self._stages = pipeline.build(Config(), live=True, learn=False, state=None)
        self.publisher = self._stages.pipeline.publisher
        self.packets = self.batches = 0
        self.seconds = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def start(self) -> None:
        spare_collector(live=True)
        self.fill()
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def fill(self) -> None:
        """Give every row of the budget some bytes."""
        rows = pl.select(number=pl.int_range(KEYS)).with_columns(
            scope=pl.lit("egress"), workload="w" + (pl.col("number") % 60).cast(pl.String),
            provider="p" + pl.col("number").cast(pl.String), country=pl.lit("DE"), evidence=pl.lit("asn"),
            bytes_out=1_000_000 + pl.col("number"), bytes_in=pl.col("number"), initiator=pl.lit("local"),
            flow_id=pl.col("number"), packets_out=1,
        )  # fmt: skip
        schema = FLOW_SCHEMA | ATTRIBUTED
        whole = rows.with_columns(pl.lit(0).alias(name) for name in ("packets_in", "started", "first_seen"))
        missing = (pl.lit(None).alias(name) for name in schema if name not in whole.columns)
        flows = whole.with_columns(*missing).select(schema.keys()).cast(schema)  # type: ignore[arg-type]
        self.publisher.publish(
            flows, [], Counters(), clock=time.time_ns(), alerts=[],
            judge_counters=JudgeCounters({}, {}, {}, None), stage_seconds={},
        )  # fmt: skip

    def _work(self) -> None:
        self._stages.start()
        while not self._ended.is_set():
            self._stages.reload(Config())
            capture = Capture.of_files([str(self._capture)], Config().networks.local, [], Config().tick)
            capture.start()
            began, frames = time.perf_counter(), 0
            for drain in capture.drains(lambda read, total: None):
                taken = time.perf_counter()
                self._stages.step(drain)
                self.fill()
                self._ended.wait((time.perf_counter() - taken) * (1 / self._share - 1))
                self.batches += 2
                frames = sum(drain.counters.frames.values())
                if self._ended.is_set():
                    break
            self.packets += frames
            self.seconds += time.perf_counter() - began
            capture.close()
        self._stages.stop()


def _scrape(address: str, clients: int, scrapes: int, headers: tuple[str, ...]) -> list[float]:
    """Let clients scrape at once; gives what each scrape took, in milliseconds."""
    command = ["curl", "--silent", "--show-error", "--fail", "--rate", RATE, *headers]
    command += ["--write-out", "%{time_total} %{size_download}\\n"]
    for _ in range(scrapes):
        command += ["--output", "/dev/null", f"http://{address}/metrics"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(clients)]
    times: list[float] = []
    for one in running:
        told, _ = one.communicate()
        if one.returncode:
            sys.exit(f"curl ended with {one.returncode}")
        times += [float(line.split()[0]) * 1000 for line in told.splitlines()]
    return sorted(times)


def _cpu(work: Callable[[], object], times_over: int = 9) -> float:
    """Give the CPU time of this thread in milliseconds, the middle of several."""
    times = []
    for _ in range(times_over):
        began = time.thread_time()
        work()
        times.append(time.thread_time() - began)
    return sorted(times)[times_over // 2] * 1000


def main() -> int:
    """Print what scrapes take, and what writing the text does."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("capture", type=Path)
    parser.add_argument("--scrapes", type=int, default=100, help="of each client (100)")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the time that the stages work, above 0 (1: no pause)"
    )
    options = parser.parse_args()
    if not 0 < options.share <= 1:
        parser.error("--share: above 0, at most 1")
    line = _Line(options.capture, options.share)
    server = HttpServer(
        line.publisher, line.publisher.alerts, line.publisher.alert, lambda: (True, ""), "127.0.0.1:0",
        requests=10_000,
    )  # fmt: skip
    server.start()
    line.start()
    print(f"{'scrapes':<28}{'median ms':>10}{'p99 ms':>10}{'longest ms':>12}")
    try:
        for clients in (1, 8):
            for way, headers in WAYS.items():
                times = _scrape(server.address, clients, options.scrapes, headers)
                print(
                    f"{f'{clients} at once, {way}':<28}{times[len(times) // 2]:>10.1f}"
                    f"{times[len(times) * 99 // 100]:>10.1f}{times[-1]:>12.1f}"
                )
    finally:
        line.stop()
        server.stop()
    print(f"meanwhile {line.packets:,} packets and {line.batches:,} batches in {line.seconds:.0f} s")
    _tell_writers(line)
    return 0


def _tell_writers(line: _Line) -> None:
    """Print what writing the text costs, ours and the official client's, over the same snapshot."""
    publisher = line.publisher
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Official(publisher))
    writer = ExpositionWriter()

    def ours() -> bytes:
        return writer.write(collect(publisher.snapshot))

    def changed() -> float:
        line.fill()
        return _cpu(ours, 1)

    size = len(ours())
    print(f"{f'text of {size:,} bytes':<40}{'CPU ms':>8}")
    new = _cpu(lambda: ExpositionWriter().write(collect(publisher.snapshot)))
    told = {
        "official writer": _cpu(lambda: generate_latest(registry)),
        "ours, all series new": new,
        "ours, every number of traffic changed": sorted(changed() for _ in range(9))[4],
        "ours, no number changed": _cpu(ours),
    }
    for what, milliseconds in told.items():
        print(f"{what:<40}{milliseconds:>8.1f}")


if __name__ == "__main__":
    sys.exit(main())
