"""When a canary is sent, and when one was last seen by the rule."""

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from monitor.canary import DOMAIN, RULE, sender
from monitor.errors import InputError
from monitor.judge.alert import Alert

Address = IPv4Address | IPv6Address
_NAME = re.compile(rf"[0-9a-f]{{16}}-\d{{1,3}}\.{re.escape(DOMAIN)}")


@dataclass(frozen=True)
class CanaryState:
    """What the metrics show; times are seconds since 1970, 0: not yet."""

    last_seen: dict[str, float] = field(default_factory=dict)  # by interface or host; empty: none is expected
    sent: int = 0
    failed: int = 0


class Canary:
    """Sends a canary out of each interface that has an address, and knows which ones the rule saw.

    Args:
        interfaces: those that are watched and on which canaries are sent.
        every: seconds between two canaries.
        expect_from: by name, hosts whose canaries must pass here too: a mirror port sends none itself.
        addresses: gives the addresses of an interface.
    """

    def __init__(
        self,
        interfaces: Sequence[str],
        *,
        every: float,
        expect_from: Mapping[str, Address],
        addresses: Callable[[str], Sequence[IPv4Network | IPv6Network]],
    ) -> None:
        self.every = every
        self._nonce = secrets.token_hex(8)
        self._names = {
            self.name(place): interface for place, interface in enumerate(interfaces) if addresses(interface)
        }
        self._hosts = {str(address): name for name, address in expect_from.items()}
        self._addresses = addresses
        self._seen = dict.fromkeys([*self._names.values(), *self._hosts.values()], 0)
        self._sent = self._failed = 0
        self._due: float | None = None

    @property
    def interfaces(self) -> list[str]:
        """The interfaces that it is sent out of."""
        return list(self._names.values())

    def name(self, place: int) -> str:
        """Give the server name of this run's canaries on the interface at this place."""
        return f"{self._nonce}-{place}.{DOMAIN}"

    def tick(self, now: float) -> None:
        """Send what is due; `now` is of a clock that never goes back. What fails is counted."""
        if self._due is not None and now < self._due:
            return
        self._due = now + self.every
        for name, interface in self._names.items():
            try:
                source = sender.source_of(self._addresses(interface))
                if source is None:
                    raise OSError("the interface has no address any more")
                sender.send(interface, source, name)
                self._sent += 1
            except (OSError, ValueError, InputError):  # InputError: the kernel does not tell the addresses
                # its absence is what tells; it is tried again when the next is due
                self._failed += 1

    def see(self, alerts: Sequence[Alert]) -> None:
        """Take the alerts after a batch; those of the shipped rule say which canaries passed, and when."""
        for alert in alerts:
            if alert.rule != RULE:
                continue
            who = self._who(alert.group)
            if who is not None:
                self._seen[who] = max(self._seen[who], alert.last)

    def state(self) -> CanaryState:
        """Give what the metrics show."""
        return CanaryState({who: last / 10**9 for who, last in self._seen.items()}, self._sent, self._failed)

    def _who(self, group: Mapping[str, object]) -> str | None:
        """Give the interface or host that sent a canary; None: another run's, or nobody's."""
        name = str(group.get("name"))
        if name in self._names:
            return self._names[name]
        return self._hosts.get(str(group.get("local_address"))) if _NAME.fullmatch(name) else None
