"""Which flow rows an alert is about: those that its rule counts, of its group."""

from ipaddress import ip_address

import polars as pl

from monitor import address_text
from monitor._hotpath import counted_rows
from monitor.judge.alert import Alert
from monitor.judge.engine_rules import to_engine
from monitor.judge.learnt import OTHER
from monitor.judge.lists import AddressLists
from monitor.judge.rule import Rule


def rows_of(rule: Rule, alert: Alert, flows: pl.DataFrame, lists: AddressLists) -> pl.DataFrame:
    """Give the rows of a frame that the alert is about.

    Args:
        rule: the one that the alert is of, as it is loaded now.
        alert: gives the group. That of what had no room (`OTHER`) takes the rows of all groups.
        flows: rows of `FLOW_SCHEMA` with `ATTRIBUTED`.
        lists: those that the rule asked when the alert was told of.

    For a rule over DNS rows these are the DNS flows of the alert's workload: that of its group, or the one
    that most of it came from.
    """
    if rule.record == "dns":
        is_dns = pl.col("application") == "dns"
        workload = alert.group.get("workload", alert.workload)
        if workload is not None and workload != OTHER:
            is_dns &= pl.col("workload") == workload
        return flows.filter(is_dns)
    mine = flows.filter(_of_group(rule, alert))
    return mine.filter(pl.Series(counted_rows(to_engine(rule), mine, lists.ready), dtype=pl.Boolean))


def _of_group(rule: Rule, alert: Alert) -> pl.Expr:
    values = [alert.group.get(name) for name in rule.group_fields]
    of_group = pl.lit(True)
    if all(value == OTHER for value in values):
        return of_group
    for name, value in zip(rule.group_fields, values, strict=True):
        column = pl.col(name)
        if value is None:
            of_group &= column.is_null()
        elif name.endswith("_address"):
            of_group &= column == pl.lit(address_text.to_packed(ip_address(value)))
        elif name == "flow_id":
            of_group &= column == pl.lit(int(value, 16), dtype=pl.UInt64)
        elif isinstance(value, str):
            of_group &= column.cast(pl.String) == value
        else:
            of_group &= column == value
    return of_group
