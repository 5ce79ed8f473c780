"""The part of the configuration that says to whom alerts are sent: Alertmanagers, and receivers of events."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MAX_RECEIVERS = 10

_SYSLOG = re.compile(r"(udp|tcp)://(?:\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]@]+):\d{1,5}|unix:/\S+")
_FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock",
    *(f"local{number}" for number in range(8)),
)  # fmt: skip


def _web(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?(\?[^\s#]*)?", text):
        raise ValueError(
            f"{text!r} is not an address like https://receiver.example.org/hook; a name and a password stand "
            "in `username` and `password_file`" if "@" in text
            else f"{text!r} is not an address like https://receiver.example.org/hook"
        )  # fmt: skip
    parts = with_host(text)
    behind = parts.path + parts.query
    if not (behind.isascii() and behind.isprintable()):
        raise ValueError(f"{text!r}: what stands behind the host is written in ASCII, other signs as %C3%B6")
    return text.rstrip("/")


def _syslog(text: str) -> str:
    if not _SYSLOG.fullmatch(text):
        raise ValueError(f"{text!r} is not udp://HOST:PORT, tcp://HOST:PORT or unix:/PATH")
    if not text.startswith("unix:"):
        with_host(text)
    return text


def with_host(text: str) -> SplitResult:
    """Split an address; raises ValueError where the host is no name or the port no number there can be."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises where it is above 65535
        (parts.hostname or "").encode("idna")  # RFC 3490; raises where a part is empty or longer than 63
        return parts
    except ValueError:
        raise ValueError(f"{text!r}: not a host and a port that there can be") from None


def _facility(text: str) -> str:
    if text not in _FACILITIES:
        raise ValueError(f"{text!r} is not one of {', '.join(_FACILITIES)}")
    return text


def _at_home(path: Path) -> Path:
    """Give a path with ``~`` written out; raises ValueError with a text for people."""
    if "\0" in str(path):
        raise ValueError(f"{str(path)!r}: no path holds a NUL")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"{str(path)!r}: there is no such user here, or no home is known") from None


WebAddress = Annotated[str, AfterValidator(_web)]
FilePath = Annotated[Path, AfterValidator(_at_home)]


class HttpTarget(BaseModel):
    """Where something is posted to, and how both sides know each other; files are read anew each time."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    ca_file: FilePath | None = None  # None: the system's
    cert_file: FilePath | None = None  # a certificate of our own, with its key
    key_file: FilePath | None = None
    username: str | None = None
    password_file: FilePath | None = None
    bearer_token_file: FilePath | None = None

    def anchored(self, folder: Path) -> Self:
        """Give a copy whose relative paths are relative to `folder`."""
        paths = {name: value for name, value in self if isinstance(value, Path)}
        return self.model_copy(update={name: folder / path for name, path in paths.items()})

    @model_validator(mode="after")
    def _pairs(self) -> "HttpTarget":
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file go together")
        if self.cert_file is None and self.key_file is not None:
            raise ValueError("key_file goes with a cert_file")
        if self.username is not None and self.bearer_token_file is not None:
            raise ValueError("give either a username or a bearer_token_file")
        return self


class AlertmanagerConfig(HttpTarget):
    """An Alertmanager that gets the present alerts directly, for who has no Prometheus rules."""

    url: WebAddress


class EventsConfig(HttpTarget):
    """One receiver of alert events: exactly one of `file`, `syslog` and `webhook`."""

    form: Annotated[Literal["ecs", "ocsf"], Field(alias="schema")] = "ecs"
    file: FilePath | None = None
    syslog: Annotated[str, AfterValidator(_syslog)] | None = None
    facility: Annotated[str, AfterValidator(_facility)] = "local0"
    webhook: WebAddress | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "EventsConfig":
        if sum(way is not None for way in (self.file, self.syslog, self.webhook)) != 1:
            raise ValueError("give exactly one of file, syslog and webhook")
        given = self.model_fields_set & set(HttpTarget.model_fields)
        if given and self.webhook is None:
            raise ValueError(f"{min(given)} is for a webhook only")
        if "facility" in self.model_fields_set and self.syslog is None:
            raise ValueError("facility is for syslog only")
        return self

    @property
    def kind(self) -> str:
        """The way it goes: ``file``, ``syslog`` or ``webhook``."""
        return "file" if self.file else "syslog" if self.syslog else "webhook"

    @property
    def facility_number(self) -> int:
        """The number of the facility (RFC 5424 section 6.2.1)."""
        return _FACILITIES.index(self.facility)
