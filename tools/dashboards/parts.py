"""What the three dashboards share: variables, links, and makers of panels with one look.

Built with the Grafana Foundation SDK, whose types are those of Grafana 11.6. Every maker asks for a
description: who opens a panel at three in the morning is told what it means and what to do.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, table, text, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard, units
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

TAG = "egress-monitor"
OVERVIEW, INVESTIGATION, SENSOR = "egress-overview", "egress-investigation", "egress-sensor"
SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")

OF_SENSOR = 'job=~"$job",instance=~"$instance"'
OF_PAIR = f'{OF_SENSOR},workload=~"$workload",provider=~"$provider"'
ALERT = "rule, severity, workload, provider"

BYTES, BYTES_A_SECOND = units.BytesIEC, units.BytesPerSecondIEC
SECONDS, SHARE, COUNT, SINCE = units.Seconds, units.PercentUnit, units.Short, units.DateTimeFromNow
A_SECOND, FRAMES_A_SECOND = units.CountsPerSecond, units.PacketsPerSecond

Steps = Sequence[tuple[float | None, str]]
GOOD_BELOW_1: Steps = [(None, "green"), (1, "red")]
PLAIN: Steps = [(None, "blue")]
WIDE = 12  # columns of 24, from which on a legend stands beside the lines
# labels as columns, in this order; others come after them
LABELS = ("severity", "rule", "workload", "provider", "country", "instance", "interface")
# pixels of columns that would be cut off or too wide
WIDTHS = {"rule": 230, "severity": 90, "began": 150, "instance": 140, "catalogue": 120}

_KEEP = "${__url_time_range}&${datasource:queryparam}&${job:queryparam}&${instance:queryparam}"


def investigation_link() -> dashboard.DashboardLink:
    """Give the link from a row with workload and provider to all that is known of the two."""
    return _link(
        "Investigate this workload and provider",
        f"/d/{INVESTIGATION}?var-workload=${{__data.fields.workload:percentencode}}"
        f"&var-provider=${{__data.fields.provider:percentencode}}&var-external_url=${{external_url:percentencode}}"
        f"&{_KEEP}",
    )


def alerts_link() -> dashboard.DashboardLink:
    """Give the link from an alert's row to the alerts themselves, with flows and evidence."""
    return _link(
        "Alerts with their flows and evidence",
        "${external_url}/alerts?"
        + "&".join(f"{name}=${{__data.fields.{name}:percentencode}}" for name in ALERT.split(", ")),
        blank=True,
    )


def runbook_link() -> dashboard.DashboardLink:
    """Give the link from a row with a rule to what to do about it."""
    address = "${external_url}/runbooks/${__data.fields.rule:percentencode}"
    return _link("What to do: the runbook", address, blank=True)


def _link(title: str, url: str, *, blank: bool = False) -> dashboard.DashboardLink:
    link = builders.DashboardLink(title).type(dashboard.DashboardLinkType.LINK).url(url).target_blank(blank)
    return link.build()


def begin(uid: str, title: str, description: str, names: Sequence[str] = ()) -> builders.Dashboard:
    """Begin a dashboard with the variables that all have, and those of `names`."""
    one = (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .editable()
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .refresh("30s")
        .time("now-3h", "now")
        .link(
            builders.DashboardLink("Egress dashboards")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(False)
            .include_vars(True)
            .keep_time(True)
            .tooltip("The other dashboards of the egress monitor, same time and sensor")
        )
        .link(
            builders.DashboardLink("Alerts at the monitor")
            .type(dashboard.DashboardLinkType.LINK)
            .icon("bell")
            .url("${external_url}/alerts")
            .target_blank(True)
            .tooltip("Each alert with its flows, evidence and runbook")
        )
        .with_variable(
            builders.DatasourceVariable("datasource")
            .label("Data source")
            .type("prometheus")
            .description("The Prometheus that scrapes the sensors")
        )
        .with_variable(_query("job", "Job", "label_values(egress_build_info, job)", "Scrape job"))
        .with_variable(
            _query("instance", "Sensor", 'label_values(egress_build_info{job=~"$job"}, instance)', "Sensors")
        )
    )
    for name in names:
        of = OF_SENSOR + (',workload=~"$workload"' if name == "provider" else "")
        one.with_variable(
            _query(
                name,
                name.capitalize(),
                f"label_values(egress_sent_bytes_total{{{of}}}, {name})",
                "Who sends" if name == "workload" else "To whom",
                all_value=".+",
            )
        )
    return one.with_variable(
        builders.TextBoxVariable("external_url")
        .label("Monitor's address")
        .description("external_url of the monitor's configuration: where links to alerts lead")
        .default_value("http://127.0.0.1:9465")
    )


def _query(
    name: str, label: str, query: str, description: str, all_value: str | None = None
) -> builders.QueryVariable:
    every = dashboard.VariableOption(selected=True, text="All", value="$__all")
    variable = (
        builders.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(SOURCE)
        .query({"query": query, "refId": f"variable-{name}"})
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(every)
    )
    # a job or sensor that is "all" must mean ours: `up` has those of all other programs too
    return variable if all_value is None else variable.all_value(all_value)


def row(title: str) -> builders.Row:
    """Give the head of a group of panels."""
    return builders.Row(title)


def thresholds(steps: Steps) -> builders.ThresholdsConfig:
    """Give absolute thresholds: the colour from each value on, the first from the lowest."""
    return (
        builders.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value=value, color=colour) for value, colour in steps])
    )


def words(meaning: Mapping[str, tuple[str, str]]) -> dashboard.ValueMap:
    """Say values in words: from the value's text to word and colour."""
    results = {
        value: dashboard.ValueMappingResult(text=word, color=colour, index=place)
        for place, (value, (word, colour)) in enumerate(meaning.items())
    }
    return dashboard.ValueMap(options=results)


def number(
    title: str,
    description: str,
    expr: str,
    unit: str = COUNT,
    *,
    steps: Steps = GOOD_BELOW_1,
    meaning: Mapping[str, tuple[str, str]] | None = None,
    no_value: str = "no data",
    span: int = 3,
    height: int = 4,
    decimals: float | None = None,
) -> stat.Panel:
    """Give one number as it is now, coloured by its thresholds."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(span)
        .height(height)
        .unit(unit)
        .no_value(no_value)
        .thresholds(thresholds(steps))
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(common.BigValueGraphMode.NONE)
        .text_mode(common.BigValueTextMode.VALUE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target("A", expr).instant().format(PromQueryFormat.TIME_SERIES))
    )
    if meaning is not None:
        panel.mappings([words(meaning)])
    return panel if decimals is None else panel.decimals(decimals)


def lines(
    title: str,
    description: str,
    targets: Sequence[tuple[str, str]],
    unit: str,
    *,
    span: int = 12,
    height: int = 8,
    stacked: bool = False,
    top: float | None = None,
) -> timeseries.Panel:
    """Give lines over time; `targets` are pairs of query and legend."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(span)
        .height(height)
        .unit(unit)
        .min(0)
        .line_width(1)
        .fill_opacity(30 if stacked else 8)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            common_builders.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.TABLE if span >= WIDE else common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.RIGHT if span >= WIDE else common.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"] if span >= WIDE else ["lastNotNull"])
            .sort_by("Max")
            .sort_desc(True)
        )
        .tooltip(
            common_builders.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
    )
    if stacked:
        panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    if top is not None:
        panel.max(top)
    for place, (expr, legend) in enumerate(targets):
        panel.with_target(_target("ABCDEFGH"[place], expr).range().legend_format(legend))
    return panel


def listing(
    title: str,
    description: str,
    columns: Mapping[str, tuple[str, str]],
    *,
    sort: str,
    empty: str,
    links: Mapping[str, Sequence[dashboard.DashboardLink]] | None = None,
    meaning: Mapping[str, Mapping[str, tuple[str, str]]] | None = None,
    span: int = 12,
    height: int = 8,
    ascending: bool = False,
) -> table.Panel:
    """Give rows as they are now: `columns` are from the column's name to its query and unit.

    All queries must have the same labels; these become columns too, so a column is not named as a label.
    """
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(span)
        .height(height)
        .no_value(empty)
        .sort_by([common_builders.TableSortByFieldState().display_name(sort).desc(not ascending)])
    )
    renamed = {}
    for letter, (name, (expr, unit)) in zip("ABCDEFGH", columns.items(), strict=False):
        panel.with_target(_target(letter, expr).instant().format(PromQueryFormat.TABLE))
        renamed[f"Value #{letter}"] = name
        panel.override_by_name(name, [dashboard.DynamicConfigValue(id_val="unit", value=unit)])
    if len(columns) == 1:
        renamed = {"Value": next(iter(columns))}
    for name, width in WIDTHS.items():
        panel.override_by_name(name, [dashboard.DynamicConfigValue(id_val="custom.width", value=width)])
    for name, leading in (links or {}).items():
        value = [{"title": one.title, "url": one.url, "targetBlank": one.target_blank} for one in leading]
        panel.override_by_name(name, [dashboard.DynamicConfigValue(id_val="links", value=value)])
    for name, said in (meaning or {}).items():
        panel.override_by_name(
            name,
            [
                dashboard.DynamicConfigValue(id_val="mappings", value=[words(said)]),
                dashboard.DynamicConfigValue(
                    id_val="custom.cellOptions", value={"type": "color-background", "mode": "basic"}
                ),
            ],
        )
    transformations = [
        dashboard.DataTransformerConfig(id_val="merge", options={}),
        dashboard.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": {name: place for place, name in enumerate(LABELS)},
                "renameByName": renamed,
            },
        ),
    ]
    return panel.transformations(transformations[len(columns) == 1 :])


def prose(title: str, description: str, content: str, *, span: int, height: int) -> text.Panel:
    """Give text in Markdown."""
    return (
        text.Panel()
        .title(title)
        .description(description)
        .mode(TextMode.MARKDOWN)
        .content(content)
        .span(span)
        .height(height)
    )


def rate(metric: str, by: str = "") -> str:
    """Give the query for a counter's rate, summed by these labels."""
    return f"sum{f' by ({by}) ' if by else ''}(rate({metric}{{{OF_SENSOR}}}[$__rate_interval]))"


def increase(metric: str) -> str:
    """Give the query for how much a counter grew in the time range, all sensors together."""
    return f"sum(increase({metric}{{{OF_SENSOR}}}[$__range]))"


def or_none(query: str, *labels: str) -> str:
    """Give the query, and where it has no series at all one at 0, with these labels, that says ``none``.

    For series that begin with their first event; a sensor must be there for it, or nothing would be known.
    """
    none = f"0 * max(egress_build_info{{{OF_SENSOR}}})"
    for label in labels:
        none = f'label_replace({none}, "{label}", "none", "", "")'
    return f"{query} or ({none} unless on () {query})"


def _target(letter: str, expr: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(letter).datasource(SOURCE).expr(" ".join(expr.split()))


def add(one: builders.Dashboard, title: str, *panels: Builder[Any]) -> None:
    """Put a group of panels under a head."""
    one.with_row(row(title))
    for panel in panels:
        one.with_panel(panel)


# a line that is there to compare with
DASHED = [
    dashboard.DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [6, 6]}),
    dashboard.DynamicConfigValue(id_val="custom.fillOpacity", value=0),
]
