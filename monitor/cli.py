"""The command line: one function a command, no logic.

What a command needs is imported inside it, so that ``--help`` and ``lookup`` answer at once, and
``replay`` never pays for a web server or for scapy.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="egress-monitor",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help=(
        "Watches what leaves a backend: who sent how much to whom, how we know, and which rule minds.\n\n"
        "Exit status: 0 done; 1 a check failed or --fail-on was met; 2 the input or configuration is wrong."
    ),
    epilog="Start with `egress-monitor demo`, then `egress-monitor replay capture.pcap`.",
)
rules_app = typer.Typer(no_args_is_help=True, help="Test, list and show rules.")
app.add_typer(rules_app, name="rules")
catalogue_app = typer.Typer(no_args_is_help=True, help="Renew what is known about providers.")
app.add_typer(catalogue_app, name="catalogue")
capsule_app = typer.Typer(no_args_is_help=True, help="List and verify capsules of evidence.")
app.add_typer(capsule_app, name="capsule")


class Severity(StrEnum):
    """Severities of rules, the mildest first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="Configuration file (YAML).")
]

LocalOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NETWORK", help="A network of ours, in place of the configured; repeatable."),
]
EvidenceOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where the capsules are; default: the state folder."),
]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"egress-monitor {version('egress-monitor')}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: `egress-monitor run --interface eth0`, then `curl 127.0.0.1:9465/metrics`")
def run(
    config: ConfigOption = None,
    interface: Annotated[
        list[str] | None,
        typer.Option("--interface", "-i", metavar="IF", help="Interface to watch; repeatable."),
    ] = None,
    alerts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append alert events here, one JSON line each; default: stdout."),
    ] = None,
) -> None:
    """Watch live interfaces and serve metrics and alerts until stopped.

    Needs the right to open raw sockets (CAP_NET_RAW). SIGHUP reloads configuration, rules and databases.
    """
    from monitor.commands import run as command

    command.run(config, interface or [], alerts)


@app.command(
    epilog="Examples: `egress-monitor replay a.pcap b.pcapng.zst --flows flows.parquet`; "
    "`tcpdump -w - | egress-monitor replay - --local 203.0.113.0/24`"
)
def replay(
    captures: Annotated[
        list[str],
        typer.Argument(metavar="CAPTURE...", help="pcap or pcapng files, .gz or .zst too; - is stdin."),
    ],
    config: ConfigOption = None,
    local: LocalOption = None,
    flows: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all flow rows (.jsonl or .parquet).")
    ] = None,
    dns: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the DNS answers seen (.jsonl or .parquet).")
    ] = None,
    alerts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write alert events (.jsonl or .parquet).")
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the final metrics as Prometheus reads them.")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Start from this state and keep it there; default: start empty."),
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Make a capsule of evidence for each alert in this folder."),
    ] = None,
    fail_on: Annotated[
        Severity | None, typer.Option(help="Exit with status 1 if a rule of this severity or above fired.")
    ] = None,
) -> int:
    """Play capture files through the same pipeline and say who sent how much to whom."""
    from monitor.commands import replay as command

    outputs = command.Outputs(flows=flows, dns=dns, alerts=alerts, metrics=metrics, evidence=evidence)
    return command.replay(captures, config, local or [], outputs, state, fail_on and fail_on.value)


@app.command(epilog="Example: `egress-monitor check --config egress.yml --interface eth0`")
def check(
    config: ConfigOption = None,
    interface: Annotated[
        list[str] | None, typer.Option("--interface", "-i", metavar="IF", help="Check this interface too.")
    ] = None,
) -> int:
    """Check configuration, rules, databases, rights and interfaces: what would run, or what is wrong."""
    from monitor.commands import check as command

    return command.check(config, interface or [])


@app.command(
    epilog="Examples: `egress-monitor lookup 47.91.64.9`; `egress-monitor lookup s3.amazonaws.com --json`"
)
def lookup(
    what: Annotated[str, typer.Argument(metavar="ADDRESS|NAME", help="An IP address or a host name.")],
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Show how an address or a name is attributed, step by step. Nothing is sent to learn it."""
    from monitor.commands import lookup as command

    command.lookup(what, config, as_json=as_json)


CapturesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CAPTURE...]", help="pcap or pcapng files, .gz or .zst too; - is stdin."),
]
FlowsOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE", help="Flow rows of replay --flows, or a folder like the daemon's rows; repeatable."
    ),
]


@app.command(epilog="Example: `egress-monitor learn week.pcap --config egress.yml --output policy.yml`")
def learn(
    captures: CapturesArgument = None,
    flows: FlowsOption = None,
    config: ConfigOption = None,
    local: LocalOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it here; default: stdout.")
    ] = None,
) -> None:
    """Propose a policy from what was observed: who talks to whom, how much, and how we know."""
    from monitor.commands import learn as command

    command.learn(captures or [], flows or [], config, local or [], output)


@app.command(epilog="Example, in CI: `egress-monitor diff policy.yml staging.pcap --config egress.yml`")
def diff(
    policy: Annotated[Path, typer.Argument(metavar="POLICY", help="A policy, as learn proposes one.")],
    captures: CapturesArgument = None,
    flows: FlowsOption = None,
    config: ConfigOption = None,
    local: LocalOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all findings as one JSON object.")] = False,
) -> int:
    """Compare what was observed with a policy; exit status 1 where something is new or too much."""
    from monitor.commands import diff as command

    return command.diff(policy, captures or [], flows or [], config, local or [], as_json=as_json)


@app.command(epilog="Example: `egress-monitor explain 3c1f09aab2d4e765`; the first digits do, too")
def explain(
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="Its id, or the first digits of it.")],
    config: ConfigOption = None,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The state folder; default: the configuration's.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print all of it as one line of JSON.")] = False,
) -> None:
    """Say why an alert fired: sums, flows, evidence, and the exceptions that did not apply. Offline."""
    from monitor.commands import explain as command

    command.explain(alert, config, state, as_json=json)


@app.command(epilog="Example: `egress-monitor demo --keep incident.pcap`")
def demo(
    keep: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the capture here, and its configuration beside it as .yml."),
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Make a capsule of evidence for each alert in this folder."),
    ] = None,
) -> None:
    """Rebuild the incident with scapy and play it through the real pipeline."""
    from monitor.commands import demo as command

    command.demo(keep, evidence)


@app.command(
    epilog="Examples: `egress-monitor inspect 3c1f09aab2d4e765`; `egress-monitor inspect capture.pcap --json`"
)
def inspect(
    what: Annotated[str, typer.Argument(metavar="ALERT|CAPTURE", help="An alert's id, a capsule or a file.")],
    config: ConfigOption = None,
    local: LocalOption = None,
    evidence: EvidenceOption = None,
    seconds: Annotated[
        int, typer.Option(min=1, max=3600, help="How long tshark may take; what was found by then is shown.")
    ] = 120,
    json: Annotated[bool, typer.Option("--json", help="Print all of it as one line of JSON.")] = False,
) -> None:
    """Show an alert's packets as conversations: names, handshakes, requests, bytes over time."""
    from monitor.commands import inspect as command

    command.inspect(what, config, local or [], evidence, seconds, json)


@app.command(
    epilog="Examples: `egress-monitor impact 3c1f09aab2d4e765 --html impact.html`; "
    "`egress-monitor impact flows.parquet --json`"
)
def impact(
    what: Annotated[
        list[str],
        typer.Argument(metavar="ALERT|FILE...", help="Alerts' ids, files of replay --flows, or captures."),
    ],
    config: ConfigOption = None,
    local: LocalOption = None,
    evidence: EvidenceOption = None,
    data_above: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Payload above which an address got data; default: 64KiB."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it as one HTML page that prints well, too.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print all of it as one line of JSON.")] = False,
) -> None:
    """Say whom an exposed service answered since when, and which of them got the data."""
    from monitor.commands import impact as command

    command.impact(what, config, local or [], evidence, data_above, html, json)


@catalogue_app.command(
    "import",
    epilog="Example: `egress-monitor catalogue import aws ip-ranges.json --into /etc/egress-monitor`",
)
def catalogue_import(
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="Its id; `lookup` shows ids.")],
    lists: Annotated[
        list[Path], typer.Argument(metavar="LIST...", help="Lists as the provider publishes them.")
    ],
    into: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the entry and its prefixes.")],
    config: ConfigOption = None,
) -> None:
    """Make a catalogue entry of your own from the address lists that a provider publishes.

    Forms: AWS, Google, Azure, Oracle, Cloudflare, Fastly, GitHub and other JSON; geofeeds; a prefix a line.
    """
    from monitor.commands import catalogue as command

    command.import_lists(provider, lists, into, config)


@rules_app.command("test", epilog="Example: `egress-monitor rules test /etc/egress-monitor/rules`")
def rules_test(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH...]", help="Files or folders of rules.")
    ] = None,
    config: ConfigOption = None,
) -> int:
    """Run the tests that rules carry."""
    from monitor.commands import rules as command

    return command.test(paths or [], config)


@rules_app.command("list")
def rules_list(config: ConfigOption = None) -> None:
    """List the rules that would be loaded."""
    from monitor.commands import rules as command

    command.list_all(config)


@rules_app.command("schema", epilog="Example: `egress-monitor rules schema > rule.schema.json`")
def rules_schema() -> None:
    """Print the JSON Schema of a rule file, for editors."""
    from monitor.commands import rules as command

    command.schema()


@rules_app.command(
    "learnt", epilog="Example: `egress-monitor rules learnt new-destination-country --config egress.yml`"
)
def rules_learnt(
    rule: Annotated[str | None, typer.Argument(metavar="[ID]", help="Of one rule only.")] = None,
    config: ConfigOption = None,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The state folder; default: the configuration's.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a group.")] = False,
) -> None:
    """List what rules learnt to be usual at first: who, to what, how much. Review it once."""
    from monitor.commands import learnt as command

    command.show(rule, config, state, as_json=json)


@rules_app.command("show", epilog="Example: `egress-monitor rules show unsanctioned-cloud-alibaba`")
def rules_show(
    rule: Annotated[str, typer.Argument(metavar="ID", help="The rule's id.")], config: ConfigOption = None
) -> None:
    """Show one rule: what it matches, when it fires, what it leaves out, its runbook."""
    from monitor.commands import rules as command

    command.show(rule, config)


@capsule_app.command("list")
def capsule_list(config: ConfigOption = None, evidence: EvidenceOption = None) -> None:
    """List the capsules, the newest first."""
    from monitor.commands import capsule as command

    command.list_all(config, evidence)


@capsule_app.command("verify", epilog="Example: `egress-monitor capsule verify 3c1f09aab2d4e765`")
def capsule_verify(
    capsules: Annotated[
        list[str] | None, typer.Argument(metavar="[ALERT|FOLDER...]", help="Default: all there are.")
    ] = None,
    config: ConfigOption = None,
    evidence: EvidenceOption = None,
) -> int:
    """Hold each file of capsules against its hash; name the file that was changed."""
    from monitor.commands import capsule as command

    return command.verify(capsules or [], config, evidence)
