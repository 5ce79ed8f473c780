"""Label values of the metrics: closed sets only (design section 7).

Workload names come from the configuration, providers from the catalogue, countries from the database.
Everything else folds to one word, here and only here: rules, alerts and pages keep the full text.
"""

import re

import polars as pl

OTHER = "other"  # what has no row of its own
UNNAMED = "unnamed"  # a host that the configuration gives no workload
UNLISTED = "unlisted"  # a network that is not in the catalogue
NONE = "none"  # unknown

# the contract of `provider`: a catalogue id, or as<number> for a network outside the catalogue
_NETWORK = r"^as[0-9]+$"
# the contract of `workload`: a configured name (which has no colon), or the address as text
_ADDRESS = r"^[0-9]{1,3}(\.[0-9]{1,3}){3}$|:"


def fold_workload(workload: str | None) -> str:
    """Give the label value of a workload: its configured name or ``unnamed``."""
    return UNNAMED if workload is None or re.search(_ADDRESS, workload) else workload


def fold_provider(provider: str | None) -> str:
    """Give the label value of a provider: its catalogue id, ``unlisted``, or ``none`` where unknown."""
    if provider is None:
        return NONE
    return UNLISTED if re.search(_NETWORK, provider) else provider


def folded(column: str) -> pl.Expr:
    """Give the label values of a column ``workload``, ``provider`` or ``country`` of a frame."""
    value = pl.col(column)
    if column == "workload":
        expression = pl.when(value.str.contains(_ADDRESS)).then(pl.lit(UNNAMED)).otherwise(value)
        return expression.fill_null(UNNAMED).alias(column)
    if column == "provider":
        expression = pl.when(value.str.contains(_NETWORK)).then(pl.lit(UNLISTED)).otherwise(value)
        return expression.fill_null(NONE).alias(column)
    return value.fill_null(NONE).alias(column)
