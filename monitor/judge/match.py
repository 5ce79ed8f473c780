"""The ``match`` of a rule or an exception: which rows it is about. All conditions must hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monitor.flow_batch import CERTIFICATE
from monitor.judge import fields
from monitor.judge.condition import Condition, Vocabulary, parse_condition
from monitor.judge.fields import FIELDS, Record
from monitor.yaml_file import Document, Place, nearest

# a name, and a provider known by a name, decide only with an answer of DNS behind them
_DECIDED_BY_DNS = ("dns", "dns_shared")


@dataclass(frozen=True)
class Match:
    """Conditions on the fields of one row.

    `proven`: of an exception. There ``name`` means the name that decided ``provider``, never what the
    client only claims, and the service provider counts only where such a name says so.
    """

    conditions: tuple[Condition, ...]
    proven: bool = False

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row matches: the same as the engine says, for one row as a mapping."""
        return self.failing(row) is None

    def failing(self, row: Mapping[str, Any]) -> Condition | None:
        """Give the first condition that does not hold for a row."""
        return next((one for one in self.conditions if not self._over_row(one, row)), None)

    def all_failing(self, row: Mapping[str, Any]) -> tuple[Condition, ...]:
        """Give every condition that does not hold for a row."""
        return tuple(one for one in self.conditions if not self._over_row(one, row))

    def _over_row(self, condition: Condition, row: Mapping[str, Any]) -> bool:
        if self._asks_for_unnamed(condition) and row.get("name_source") == CERTIFICATE:
            return True
        if condition.field.name != "any_provider":
            return condition.holds(self._value(condition.field.name, row))
        known = [self._value("network_provider", row), self._value("service_provider", row)]
        known = [value for value in known if value is not None]
        return any(condition.holds(value) for value in known or [None])

    def _asks_for_unnamed(self, condition: Condition) -> bool:
        """Tell whether a rule says ``name: none``: what a server shows must not hide such a flow from it."""
        unnamed = condition.field.name == "name" and condition.missing and not condition.negated
        return unnamed and not self.proven

    def _value(self, name: str, row: Mapping[str, Any]) -> Any:
        if not self.proven or name not in ("name", "service_provider"):
            return fields.value(row, name)
        if row.get("evidence") not in _DECIDED_BY_DNS:
            return None
        return row.get("dns_name" if name == "name" else name)


def parse_match(
    written: Mapping[str, Any],
    record: Record,
    vocabulary: Vocabulary,
    document: Document,
    place: Place,
    *,
    proven: bool = False,
) -> Match:
    """Read a ``match``; raises InputError with file:line and the nearest right word."""
    known = FIELDS[record]
    conditions = []
    for name, said in written.items():
        here = (*place, name)
        if name not in known:
            raise document.error(here, f"unknown field {name!r}{nearest(str(name), known)}")
        try:
            conditions.append(parse_condition(known[name], said, vocabulary))
        except ValueError as error:
            raise document.error(here, str(error)) from error
    return Match(tuple(conditions), proven)
