"""The configuration file as types: every key has a default that works, a mistake names file:line.

`load_config` reads one YAML file (design section 8; the keys for people are in
``docs/configuration.md``). Sizes and times are written with units and kept as bytes and nanoseconds.
"""

import os
import re
from collections.abc import Iterable, Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, RootModel

from monitor import shipped, units, yaml_file
from monitor.capture_filter import compile_filter
from monitor.config_delivery import MAX_RECEIVERS, AlertmanagerConfig, EventsConfig, FilePath, with_host
from monitor.errors import InputError
from monitor.workloads_file import read_workloads

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

SECOND = 10**9
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE
MIB = 2**20

DEFAULT_LOCAL = (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # private, RFC 1918
    "100.64.0.0/10",  # shared by carriers, RFC 6598
    "169.254.0.0/16", "fe80::/10",  # link-local, RFC 3927 and RFC 4291
    "fc00::/7",  # unique local, RFC 4193
    "127.0.0.0/8", "::1/128",  # loopback
)  # fmt: skip
RESERVED_NAMES = {"other", "unnamed", "unlisted", "none"}  # rows of the metrics
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_LIKE_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}")  # hosts without a name go by their address
_AS_NUMBER = re.compile(r"as[1-9][0-9]{0,9}")  # how a network outside the catalogue is called
_LISTEN = re.compile(r"unix:/.+|(?:\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]*):(\d{1,5})")


def parse_network(text: object) -> Network:
    """Read ``10.0.0.0/8`` or ``fd00::/8``; a bare address is a /32 or /128, IPv4-mapped is IPv4.

    Raises ValueError with a text for people.
    """
    if isinstance(text, IPv4Network | IPv6Network):
        return text
    written = str(text).strip()
    try:
        network = ip_network(written)
    except ValueError:
        try:
            meant = f"; did you mean {ip_network(written, strict=False)}?"
        except ValueError:
            meant = "; write it like 10.0.0.0/8, 10.0.9.17 or fd00::/8"
        raise ValueError(f"{written!r} is not a network{meant}") from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        start = network.network_address.ipv4_mapped
        assert start is not None  # a subnet of ::ffff:0:0/96 starts inside it
        return IPv4Network((int(start), network.prefixlen - 96))
    return network


def _address(text: object) -> Address:
    try:
        address = ip_address(str(text).strip())
    except ValueError:
        raise ValueError(f"{text!r} is not an address; write it like 10.0.0.2 or fd00::2") from None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not a name: letters, digits, '.', '_' and '-', at most 63")
    if _LIKE_ADDRESS.fullmatch(text):
        raise ValueError(f"{text!r} is an address, not a name")
    if text in RESERVED_NAMES:
        raise ValueError(f"{text!r} is a name that the metrics use themselves; take another")
    return text


def _tick(nanoseconds: int) -> int:
    if nanoseconds % SECOND or not SECOND <= nanoseconds <= MINUTE:
        raise ValueError("a tick is a whole number of seconds, from 1s to 60s")
    return nanoseconds


def _listen(text: str) -> str:
    match = _LISTEN.fullmatch(text)
    if match is None or not 0 <= int(match[1] or 0) <= 65535:
        raise ValueError(f"{text!r} is not HOST:PORT, [IPV6]:PORT, :PORT or unix:/PATH")
    return text


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", text):
        raise ValueError(f"{text!r} is not an address like https://egress.example.org")
    with_host(text)
    return text.rstrip("/")


def _filter(text: str) -> str:
    compile_filter(text)
    return text.strip()


def _distinct(networks: list[Network]) -> list[Network]:
    for place, network in enumerate(networks):
        if network in networks[:place]:
            raise ValueError(f"{network} stands here twice")
    return networks


def default_state() -> Path:
    """Give the folder for state: what systemd says, else root's usual one, else the user's own."""
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/egress-monitor")
    try:
        home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:
        raise InputError("state: no home of this user is known; name a folder with `state:`") from None
    return Path(home) / "egress-monitor"


NetworkIn = Annotated[Network, BeforeValidator(parse_network)]
Networks = Annotated[list[NetworkIn], AfterValidator(_distinct)]
AddressIn = Annotated[Address, BeforeValidator(_address)]
Name = Annotated[str, AfterValidator(_name)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Bytes = Annotated[int, BeforeValidator(units.parse_bytes)]
Nanoseconds = Annotated[int, BeforeValidator(units.parse_nanoseconds)]


class _Section(BaseModel):
    # defaults are given as their final values and need no check
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class NetworkConfig(_Section):
    """Which addresses are ours, and which of them speak for the outside."""

    local: Annotated[Networks, Field(min_length=1)] = [ip_network(text) for text in DEFAULT_LOCAL]
    gateways: dict[Name, Networks] = {}


class DatabaseConfig(_Section):
    """MaxMind-format files of the user's own; None: the shipped set."""

    country: FilePath | None = None
    asn: FilePath | None = None


class MetricsConfig(_Section):
    """How rows of traffic come and go in ``/metrics``."""

    hold: Nanoseconds = 2 * MINUTE  # how long a new row is shown at 0 while its bytes gather
    budget: Annotated[int, Field(strict=True, ge=10, le=100_000)] = 2000  # rows of traffic


class MemoryConfig(_Section):
    """What each worker may hold, in bytes."""

    flows: Annotated[Bytes, Field(ge=MIB, le=65536 * MIB)] = 128 * MIB  # open flows and their names
    fragments: Annotated[Bytes, Field(ge=MIB, le=4096 * MIB)] = 8 * MIB  # where later fragments belong
    streams: Annotated[Bytes, Field(ge=MIB, le=4096 * MIB)] = 16 * MIB  # half-read handshakes and requests
    dns: Annotated[Bytes, Field(ge=MIB, le=2048 * MIB)] = 32 * MIB  # DNS rows of one batch


class CaptureConfig(_Section):
    """How frames are taken from an interface."""

    promiscuous: Annotated[bool, Field(strict=True)] = False
    filter: Annotated[str, AfterValidator(_filter)] = ""
    snap: Literal["full", "auto"] = "full"  # how much of each frame is taken
    superframes: Literal["estimate", "exact"] = "estimate"  # how the segments of a super-frame are known
    busy_poll: Annotated[bool, Field(strict=True)] = False  # never sleep: costs a core
    ring: Annotated[Bytes, Field(ge=MIB, le=4096 * MIB)] = 64 * MIB  # bytes, for each worker
    workers: Annotated[int, Field(strict=True, ge=1, le=64)] = 1
    content: Annotated[bool, Field(strict=True)] = True  # look at what goes out in clear
    memory: MemoryConfig = MemoryConfig()

    @property
    def snaps(self) -> bool:
        """Whether frames are cut: not where their payload is looked at."""
        return self.snap == "auto" and not self.content

    def notes(self) -> list[str]:
        """Give one line for each setting that another one switches off."""
        if self.snap == "auto" and self.content:
            return ["capture.snap: auto is off, because capture.content looks at what goes out in clear"]
        return []


class HttpConfig(_Section):
    """What the HTTP server allows."""

    reload: Annotated[bool, Field(strict=True)] = False  # POST /-/reload
    requests: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 50  # a second, from all clients together


class CanaryConfig(_Section):
    """The marked packet that must pass the whole line (`monitor/canary/`)."""

    enabled: Annotated[bool, Field(strict=True)] | None = None  # None: not where `promiscuous` says mirror
    every: Annotated[Nanoseconds, Field(ge=SECOND, le=60 * MINUTE)] = 30 * SECOND
    expect_from: dict[Name, AddressIn] = {}  # hosts whose canaries must pass here, as on a mirror


class CapsuleConfig(_Section):
    """Bounds of the capsules."""

    number: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 1000
    size: Annotated[Bytes, Field(ge=MIB)] = 1024 * MIB  # bytes of all
    age: Nanoseconds = 90 * DAY
    packets: Annotated[Bytes, Field(ge=64 * 1024, le=1024 * MIB)] = 32 * MIB  # bytes of packets in one


class EvidenceConfig(_Section):
    """What of the recent past is kept on disk, and for which rules with payload."""

    enabled: Annotated[bool, Field(strict=True)] = True
    ring: Annotated[Bytes, Field(le=2**40)] = 256 * MIB  # bytes of headers; 0: no packets are kept
    age: Nanoseconds = DAY  # of packets and flow rows
    rows: Annotated[Bytes, Field(ge=MIB, le=2**40)] = 64 * MIB  # bytes of flow rows
    payload_for: list[str] = []  # ids of rules whose capsules hold packets with payload
    payload_ring: Annotated[Bytes, Field(ge=MIB, le=2**40)] = 256 * MIB  # bytes, where payload is kept
    capsules: CapsuleConfig = CapsuleConfig()


class Config(_Section):
    """The whole configuration; times in nanoseconds, sizes in bytes, paths absolute or as given."""

    interfaces: list[Annotated[str, Field(min_length=1, max_length=15)]] = []
    networks: NetworkConfig = NetworkConfig()
    workloads: dict[Name, Networks] = {}
    workloads_file: FilePath | None = None  # written by other systems; what is in it is in `workloads` too
    workload_identity: Annotated[bool, Field(strict=True)] = False  # process, unit, container of this host
    published: dict[str, list[Port]] = {}
    sanctioned_providers: list[str] = []
    resolvers: list[AddressIn] = []
    lists: dict[Name, FilePath] = {}  # files of addresses and domains that rules can name
    databases: DatabaseConfig = DatabaseConfig()
    catalogue: list[FilePath] = []  # the user's own entries, over the shipped ones
    rules: list[FilePath] = Field(default_factory=lambda: [shipped.rules()])
    state: FilePath = Field(default_factory=default_state)
    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:9465"
    external_url: Annotated[str, AfterValidator(_url)] | None = None
    web_config: FilePath | None = None
    http: HttpConfig = HttpConfig()
    tick: Annotated[Nanoseconds, AfterValidator(_tick)] = SECOND
    metrics: MetricsConfig = MetricsConfig()
    capture: CaptureConfig = CaptureConfig()
    canary: CanaryConfig = CanaryConfig()
    alertmanagers: Annotated[list[AlertmanagerConfig], Field(max_length=MAX_RECEIVERS)] = []
    events: Annotated[list[EventsConfig], Field(max_length=MAX_RECEIVERS)] = []
    evidence: EvidenceConfig = EvidenceConfig()

    _document: yaml_file.Document | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path | None:
        """The file this came from; None: all defaults."""
        return self._document.path if self._document else None

    def error(self, place: yaml_file.Place, message: str) -> InputError:
        """Make the one-line error about a place here, for what only a later stage can know."""
        return self._document.error(place, message) if self._document else InputError(message)

    def check_providers(self, known: set[str]) -> None:
        """Raise InputError where a sanctioned provider is no id of the catalogue and no ``as64500``."""
        for index, provider in enumerate(self.sanctioned_providers):
            if provider not in known and not _AS_NUMBER.fullmatch(provider):
                hint = yaml_file.nearest(provider, known)
                raise self.error(
                    ("sanctioned_providers", index), f"the catalogue has no provider {provider!r}{hint}"
                )

    def check_payload_rules(self, known: set[str]) -> None:
        """Raise InputError where packets are to be kept with payload for a rule that is not loaded."""
        for index, rule in enumerate(self.evidence.payload_for):
            if rule not in known:
                message = f"evidence.payload_for: no rule {rule!r} is loaded{yaml_file.nearest(rule, known)}"
                raise self.error(("evidence", "payload_for", index), message)

    def changed_since(self, before: "Config", keys: Iterable[str]) -> list[str]:
        """Give those of the keys for which the file says something else than it did before."""
        now, then = ((one._document and one._document.value) or {} for one in (self, before))
        return [key for key in keys if now.get(key) != then.get(key)]

    def with_interfaces(self, interfaces: list[str]) -> "Config":
        """Give a copy that watches these interfaces instead."""
        return self.model_copy(update={"interfaces": interfaces})

    def with_local(self, local: list[Network]) -> "Config":
        """Give a copy whose local side is these networks instead."""
        return self.model_copy(update={"networks": self.networks.model_copy(update={"local": local})})

    def with_more_workloads(self, more: dict[str, list[Network]]) -> "Config":
        """Give a copy with these too; a network that the configuration names itself stays with that name."""
        own = {network for networks in self.workloads.values() for network in networks}
        merged = {name: list(networks) for name, networks in self.workloads.items()}
        for name, networks in more.items():
            merged.setdefault(name, []).extend(network for network in networks if network not in own)
        return self.model_copy(update={"workloads": merged})

    def chosen_files(self) -> Iterator[tuple[yaml_file.Place, Path]]:
        """Give place and path of each file or folder that the user chose and that changes judgement."""
        for index, path in enumerate(self.rules):
            if "rules" in self.model_fields_set:
                yield ("rules", index), path
        if self.databases.country:
            yield ("databases", "country"), self.databases.country
        if self.databases.asn:
            yield ("databases", "asn"), self.databases.asn
        for index, path in enumerate(self.catalogue):
            yield ("catalogue", index), path
        if self.workloads_file:
            yield ("workloads_file",), self.workloads_file
        for name, path in self.lists.items():
            yield ("lists", name), path
        if self.web_config:
            yield ("web_config",), self.web_config


class _Workloads(RootModel[dict[Name, list[NetworkIn]]]):
    """What a file of workloads must be like."""


def load_config(path: Path | None) -> Config:
    """Read the configuration file; None gives the defaults.

    Relative paths in the file are relative to the folder that the file is in. Raises InputError about
    the first mistake, with file:line and the nearest right word.
    """
    if path is None:
        return Config()
    document = yaml_file.read(path)
    config = yaml_file.validate(document, Config)
    config = config.model_copy(update=_anchored(config, path.absolute().parent))
    config._document = document
    _check_networks(config, "workloads", config.workloads)
    _check_networks(config, "gateways", config.networks.gateways)
    for place, chosen in config.chosen_files():
        # the last good copy may stand in for a database
        if place[0] != "databases":
            _require_there(config, place, chosen)
    if config.workloads_file:
        config = config.with_more_workloads(read_workloads(config.workloads_file, _Workloads))
    _check_names(config)
    return config


def _require_there(config: Config, place: yaml_file.Place, path: Path) -> None:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise config.error(place, f"{path}: no such file or folder") from None
    except OSError as error:
        raise config.error(place, f"{path}: {error.strerror or error}") from error


def _anchored(config: Config, folder: Path) -> dict[str, Any]:
    """Give the fields that hold paths, with relative ones made absolute."""
    databases = {
        name: value and folder / value
        for name, value in (("country", config.databases.country), ("asn", config.databases.asn))
    }
    fields: dict[str, Any] = {
        "databases": config.databases.model_copy(update=databases),
        "rules": [folder / path for path in config.rules],
        "catalogue": [folder / path for path in config.catalogue],
        "workloads_file": config.workloads_file and folder / config.workloads_file,
        "lists": {name: folder / path for name, path in config.lists.items()},
        "state": folder / config.state,
        "web_config": config.web_config and folder / config.web_config,
        "alertmanagers": [one.anchored(folder) for one in config.alertmanagers],
        "events": [one.anchored(folder) for one in config.events],
    }
    # a field in an update counts as given by the user, and the shipped rules were not
    return {name: value for name, value in fields.items() if name in config.model_fields_set}


def _check_names(config: Config) -> None:
    for index, interface in enumerate(config.interfaces):
        if interface in config.interfaces[:index]:
            raise config.error(("interfaces", index), f"interface {interface!r} is named twice")
    for workload in config.published:
        # what other systems write may come and go
        if workload not in config.workloads and not config.workloads_file:
            hint = yaml_file.nearest(workload, config.workloads)
            raise config.error(
                ("published", workload), f"published: {workload!r} is not one of the workloads{hint}"
            )


def _check_networks(config: Config, section: str, named: dict[str, list[Network]]) -> None:
    """Refuse a network under two names; one inside another is fine, the longer prefix wins."""
    owners: dict[Network, str] = {}
    for name, networks in named.items():
        for index, network in enumerate(networks):
            if network in owners:
                above = ("networks",) if section == "gateways" else ()
                raise config.error(
                    (*above, section, name, index),
                    f"{section}: {network} belongs to {owners[network]!r} and to {name!r}",
                )
            owners[network] = name
