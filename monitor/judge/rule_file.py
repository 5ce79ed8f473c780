"""The rule file as types: the shape of each key. What the words mean is checked in `compile_rule`."""

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from monitor.config import AddressIn, Name, NetworkConfig, Networks, Port
from monitor.judge.fire_file import DAY, FireFile, Seconds

MAX_TESTS = 200
MAX_EXCEPTIONS = 100
MAX_TEST_ROWS = 1000
# a test and what was learnt before it have nanoseconds since 1970
FIRST_DAY, LAST_DAY = date(1972, 1, 1), date(2200, 1, 1)
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_TECHNIQUE = re.compile(r"T\d{4}(\.\d{3})?")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2}))?")


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of printable text")
    return text


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError(f"{text!r} is not an id: small letters, digits and '-', at most 63")
    return text


def _technique(text: str) -> str:
    if not _TECHNIQUE.fullmatch(text):
        raise ValueError(f"{text!r} is not a technique of MITRE ATT&CK, like T1567 or T1567.002")
    return text


def _day(written: object) -> object:
    if isinstance(written, str) and _DAY.fullmatch(written):
        return written
    raise ValueError(f"{written!r} is not a day; write it like 2027-03-31")


def _time(written: object) -> object:
    if not isinstance(written, str) or not _TIME.fullmatch(written):
        raise ValueError(f"{written!r} is not a time; write it like 2027-03-31 or 2027-03-31T12:00:00Z")
    return f"{written}T00:00:00Z" if _DAY.fullmatch(written) else written


def _moment(time: datetime) -> datetime:
    if not FIRST_DAY <= time.date() <= LAST_DAY:
        raise ValueError(f"a test takes place between {FIRST_DAY.year} and {LAST_DAY.year}")
    return time


Line = Annotated[str, Field(strict=True, min_length=1, max_length=200), AfterValidator(_line)]
Day = Annotated[date, BeforeValidator(_day)]
Need = Literal["published", "sanctioned_providers", "resolvers", "gateways", "both_directions"]
Said = dict[str, Any]  # field to what is said about it; read by `parse_match`


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class MeasureFile(_Part):
    """What is summed or counted, for whom, over which stretch of event time (seconds)."""

    sum: str | None = None
    count: str | None = None
    per: list[str] = Field(max_length=6)
    window: Annotated[Seconds, Field(le=31 * DAY)]

    @model_validator(mode="after")
    def _one_measure(self) -> "MeasureFile":
        if (self.sum is None) == (self.count is None):
            raise ValueError("give either 'sum' or 'count'")
        if self.window == 0:
            raise ValueError("a window of zero holds nothing; write it like 10m")
        return self


class ExceptionFile(_Part):
    """What a rule does not mind, why, who says so, and until when (the end of that day, UTC)."""

    match: Said
    reason: Line
    owner: Line
    expires: Day


class CaseConfig(_Part):
    """What of the configuration a capture is read with; the words are those of the configuration."""

    networks: NetworkConfig = NetworkConfig()
    workloads: dict[Name, Networks] = {}
    published: dict[str, list[Port]] = {}
    resolvers: list[AddressIn] = []


class CaseFile(_Part):
    """One test of the rule: rows, or a capture that gives them, and whether it fires on them."""

    name: Line
    at: Annotated[datetime, BeforeValidator(_time), AfterValidator(_moment)] | None = None
    sanctioned: list[str] = []
    lists: dict[str, list[str]] = {}
    learnt: Annotated[list[Said], Field(max_length=MAX_TEST_ROWS)] = []
    flows: Annotated[list[Said], Field(max_length=MAX_TEST_ROWS)] = []
    dns: Annotated[list[Said], Field(max_length=MAX_TEST_ROWS)] = []
    capture: Line | None = None  # a file, seen from the folder of the rule
    config: CaseConfig | None = None
    expect: Literal["fires", "quiet"]
    group: Said = {}  # of the alert that fires: field to value


class RuleFile(_Part):
    """One rule file."""

    id: Annotated[str, Field(strict=True), AfterValidator(_id)]
    title: Line
    severity: Literal["info", "warning", "critical"]
    status: Literal["experimental", "stable"] = "experimental"
    mitre: Annotated[list[Annotated[str, AfterValidator(_technique)]], Field(max_length=10)] = []
    runbook: Line | None = None
    needs: list[Need] = []
    record: Literal["flows", "dns"] = "flows"
    match: Said
    measure: MeasureFile
    fire: FireFile
    resolve_after: Annotated[Seconds, Field(le=31 * DAY)] = 15 * 60
    exceptions: Annotated[list[ExceptionFile], Field(max_length=MAX_EXCEPTIONS)] = []
    tests: Annotated[list[CaseFile], Field(max_length=MAX_TESTS)]
