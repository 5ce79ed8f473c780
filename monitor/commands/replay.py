"""``egress-monitor replay``: capture files through the same pipeline, and a summary for people."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from monitor import terminal
from monitor.commands import replay_summary
from monitor.config import Config, load_config, parse_network
from monitor.errors import InputError
from monitor.records import AlertWriter, DnsWriter, FlowWriter
from monitor.replay import ReplayResult
from monitor.replay import replay as play_captures

OnProgress = Callable[[int, int | None], None]
SEVERITIES = ("info", "warning", "critical")  # the mildest first


@dataclass(frozen=True)
class Outputs:
    """Files to write, each None where it is not wanted."""

    flows: Path | None = None
    dns: Path | None = None
    alerts: Path | None = None
    metrics: Path | None = None
    evidence: Path | None = None  # a folder


def replay(
    captures: list[str],
    config_path: Path | None,
    local: list[str],
    outputs: Outputs,
    state: Path | None,
    fail_on: str | None,
) -> int:
    """Play the captures and print the summary; gives the exit status."""
    config = load_config(config_path)
    if local:
        try:
            config = config.with_local([parse_network(text) for text in local])
        except ValueError as error:
            raise InputError(f"--local: {error}") from error
    _check_inputs(captures, outputs)
    result = play(config, captures, outputs, state)
    return 1 if fail_on and _fired(result, fail_on) else 0


def play(
    config: Config, captures: list[str], outputs: Outputs, state: Path | None
) -> ReplayResult:
    """Play the captures, print warnings and the summary, and give the result."""
    with ExitStack() as stack:
        on_progress = stack.enter_context(progress())
        result = play_captures(
            config,
            captures,
            learn=state is not None,
            state=state,
            on_progress=on_progress,
            flows_out=stack.enter_context(FlowWriter(outputs.flows)) if outputs.flows else None,
            dns_out=stack.enter_context(DnsWriter(outputs.dns)) if outputs.dns else None,
            alerts_out=stack.enter_context(AlertWriter(outputs.alerts)) if outputs.alerts else None,
            metrics_path=outputs.metrics,
            evidence=outputs.evidence,
        )
    for warning in result.warnings:
        print(f"egress-monitor: warning: {terminal.visible(warning)}", file=sys.stderr)
    replay_summary.show(result, terminal.console())
    return result


def _check_inputs(captures: list[str], outputs: Outputs) -> None:
    if captures.count("-") > 1:
        raise InputError("standard input (-) can be read only once")
    given = {Path(capture).resolve() for capture in captures if capture != "-"}
    for path in (outputs.flows, outputs.dns, outputs.alerts, outputs.metrics):
        if path is not None and path.resolve() in given:
            raise InputError(f"{path}: is one of the captures, and would be overwritten")


def _fired(result: ReplayResult, floor: str) -> bool:
    worst = SEVERITIES[SEVERITIES.index(floor) :]
    return any(alert.severity in worst for alert in result.alerts)


@contextmanager
def progress() -> Iterator[OnProgress | None]:
    """Show a bar on standard error while it is a terminal; None where nobody would see it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal.console(sys.stderr), transient=True) as bar:
        task = bar.add_task("replay", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
