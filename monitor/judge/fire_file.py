"""The ways to fire as types: the shape of each key below ``fire``. What the words mean is checked later."""

import re
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from monitor import units

SECOND = 10**9
DAY = 86_400
MAX_DISTINCT = 4000  # values that a group's set is sure to hold
MAX_STARTS = 100  # connection starts that are looked at for a rhythm
MAX_HISTORY = 28  # days
_PERCENT = re.compile(r"(\d{1,3})\s*%")
_DECIMAL = re.compile(r"\d{1,9}(\.\d{1,6})?")


def _seconds(written: object) -> int:
    nanoseconds = units.parse_nanoseconds(str(written))
    if nanoseconds % SECOND:
        raise ValueError(f"{written!r}: whole seconds only, since rules are judged once a tick")
    return nanoseconds // SECOND


def _factor(written: object) -> Fraction:
    if isinstance(written, Fraction):
        return written
    if isinstance(written, bool) or not _DECIMAL.fullmatch(str(written)):
        raise ValueError(f"{written!r} is not a number; write it like 4 or 2.5")
    return Fraction(str(written))


def _percent(written: object) -> int:
    found = _PERCENT.fullmatch(str(written).strip())
    if found is None:
        raise ValueError(f"{written!r} is not a share; write it like 10%")
    return int(found[1])


def _stretch(written: object) -> tuple[int, int]:
    """Read ``10s-6h`` as seconds."""
    low, dash, high = str(written).partition("-")
    if not dash:
        raise ValueError(f"{written!r} is not a stretch of time; write it like 10s-6h")
    found = _seconds(low), _seconds(high)
    if found[0] < 1 or found[0] >= found[1]:
        raise ValueError(f"{written!r}: write the shorter time first, at least 1s")
    return found


Seconds = Annotated[int, BeforeValidator(_seconds)]
Number = Annotated[int, BeforeValidator(units.parse_bytes)]
Factor = Annotated[Fraction, BeforeValidator(_factor), AfterValidator(lambda one: _positive(one))]


def _positive(factor: Fraction) -> Fraction:
    if factor <= 0:
        raise ValueError("must be more than 0")
    return factor


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, arbitrary_types_allowed=True)


class NovelFile(_Part):
    """First time a group is seen with a value of `of`, once at least `floor` of it was measured."""

    of: str
    floor: Annotated[Number, Field(ge=1)]
    learn: Annotated[Seconds, Field(le=366 * DAY)] = 7 * DAY
    forget: Annotated[Seconds, Field(ge=DAY, le=3660 * DAY)] = 90 * DAY


class BaselineFile(_Part):
    """More than this group has done at this hour of the day, by so many deviations of its own."""

    deviations: Factor = Fraction(6)
    floor: Annotated[Number, Field(ge=1)]
    history: Annotated[Seconds, Field(ge=DAY, le=MAX_HISTORY * DAY)] = 7 * DAY


class RatioFile(_Part):
    """The sum of one column is more than so many times that of another, and at least `floor`."""

    of: str
    to: str
    above: Factor
    floor: Annotated[Number, Field(ge=1)]


class DistinctFile(_Part):
    """More than so many values of a field in the window."""

    of: str
    above: Annotated[int, Field(strict=True, ge=1, le=MAX_DISTINCT)]


class PeriodicFile(_Part):
    """The last `count` connections began at regular intervals."""

    count: Annotated[int, Field(strict=True, ge=4, le=MAX_STARTS)] = 12
    jitter: Annotated[int, BeforeValidator(_percent), Field(ge=1, le=50)] = 10  # per cent
    between: Annotated[tuple[int, int], BeforeValidator(_stretch)] = (10, 6 * 3600)  # seconds


class FireFile(_Part):
    """When a group raises an alert; what is given must all hold."""

    above: Number | None = None
    novel: NovelFile | None = None
    baseline: BaselineFile | None = None
    ratio: RatioFile | None = None
    distinct: DistinctFile | None = None
    periodic: PeriodicFile | None = None

    @model_validator(mode="after")
    def _some(self) -> "FireFile":
        if not self.model_fields_set or all(getattr(self, name) is None for name in self.model_fields_set):
            raise ValueError(f"give one of {', '.join(type(self).model_fields)}, or several")
        return self
