"""Label values of the metrics: closed sets only (design section 7).

Workload names come from the configuration, providers from the catalogue, countries from the database.
Everything else folds to one word, here and only here: rules, alerts and pages keep the full text. What does
not even look like a name of its set folds too, so that no text of the network can become a label.
"""

import re

import polars as pl

OTHER = "other"  # what has no row of its own
UNNAMED = "unnamed"  # a host that the configuration gives no workload
UNLISTED = "unlisted"  # a network that is not in the catalogue
NONE = "none"  # unknown

# the contract of `workload`: a configured name, or the address as text
_WORKLOAD = "[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_ADDRESS = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
# the contract of `provider`: a catalogue id, or as<number> for a network outside the catalogue
_PROVIDER = "[a-z0-9][a-z0-9._-]{0,62}"
_NETWORK = "as[0-9]+"
_COUNTRY = "[A-Z]{2}"


def fold_workload(workload: str | None) -> str:
    """Give the label value of a workload: its configured name or ``unnamed``."""
    is_name = workload is not None and re.fullmatch(_WORKLOAD, workload)
    return workload if workload and is_name and not re.fullmatch(_ADDRESS, workload) else UNNAMED


def fold_provider(provider: str | None) -> str:
    """Give the label value of a provider: its catalogue id, ``unlisted``, or ``none`` where unknown."""
    if provider is None:
        return NONE
    is_id = re.fullmatch(_PROVIDER, provider) and not re.fullmatch(_NETWORK, provider)
    return provider if is_id else UNLISTED


def folded(column: str) -> pl.Expr:
    """Give the label values of a column ``workload``, ``provider`` or ``country`` of a frame."""
    value = pl.col(column)
    if column == "workload":
        return _kept(value, _WORKLOAD, _ADDRESS, UNNAMED).fill_null(UNNAMED).alias(column)
    if column == "provider":
        return _kept(value, _PROVIDER, _NETWORK, UNLISTED).fill_null(NONE).alias(column)
    return pl.when(_is(value, _COUNTRY)).then(value).otherwise(pl.lit(NONE)).alias(column)


def _kept(value: pl.Expr, like: str, unlike: str, word: str) -> pl.Expr:
    """Keep what is like a name of the set; null stays null."""
    is_name = _is(value, like) & ~_is(value, unlike)
    return pl.when(is_name | value.is_null()).then(value).otherwise(pl.lit(word))


def _is(value: pl.Expr, pattern: str) -> pl.Expr:
    return value.str.contains(f"^(?:{pattern})$")
