"""Passive DNS: which name a client asked for to get an address, as of any moment.

A name counts from the moment of its answer until its TTL has run out, and for a day longer: programs
keep connections and addresses longer than they are told to. Nothing is ever resolved here.
"""

from collections.abc import Iterable
from typing import NamedTuple

from monitor.attribute.bounded import BoundedCache

SECOND = 10**9
GRACE = 24 * 3600 * SECOND
LONGEST_TTL = 7 * 24 * 3600  # seconds; RFC 8767 section 4
_TTL_IS_ZERO_FROM = 2**31  # RFC 2181 section 8

ADDRESS_BYTES = 16
RUNS = 3  # names kept for one client and address
RESOLVERS_OF_A_CLIENT = 8

_SHARED_ONLY = b"s"  # ends the key of what a resolver of ours was told by one that is not listed


class Run(NamedTuple):
    """The same name for the same address, told once or again and again without a gap."""

    since: int  # nanoseconds since 1970: of the first answer
    last: int  # of the newest answer
    expires: int  # TTL and grace have run out
    chain: tuple[str, ...]  # owner of the address record, then who has it as CNAME, ..., the question


class Found(NamedTuple):
    """What DNS says about one flow."""

    chain: tuple[str, ...]  # from the address to the question; a single name where there is no CNAME
    shared: bool  # told to a resolver that this client asks, not seen on its way to the client
    time: int  # nanoseconds since 1970: of the newest answer known that is not later than the flow


class PassiveDns:
    """Bounded memory of answers. The times of the calls must not go back by more than a tick.

    An entry is a client and an address; it takes about 430 bytes (measured), and 250 more for each
    further name. With the default bounds that is 110 MB, 250 MB where each address has three names, and
    32 MB of text; the half that was not used for longest is forgotten at the bound, and counted.

    Args:
        entries: pairs of client and address at most.
        text_bytes: characters in names at most.
        clients: clients whose resolvers are remembered at most (about 600 bytes each).
        everybody: packed addresses of the resolvers that every client may be asking unseen; a client
            that was never seen asking anybody counts as theirs.
    """

    def __init__(
        self,
        entries: int = 2**18,
        text_bytes: int = 2**25,
        clients: int = 2**16,
        everybody: tuple[bytes, ...] = (),
    ) -> None:
        self._runs: BoundedCache[bytes, tuple[Run, ...]] = BoundedCache(
            entries, weight_bound=text_bytes, weigh=_text_length
        )
        self._asked: BoundedCache[bytes, tuple[bytes, ...]] = BoundedCache(clients)
        self._serving: BoundedCache[bytes, None] = BoundedCache(clients)  # resolvers that are asked
        self._told: BoundedCache[bytes, None] = BoundedCache(clients)  # clients that have entries
        self._everybody = everybody
        self._addresses: set[bytes] = set()  # all that stand in an entry, and some that stood in one
        self._is_shared = False  # some resolver that clients ask was told something itself

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def evicted(self) -> int:
        """Pairs of client and address forgotten because of the bounds, since the start."""
        return self._runs.evicted

    @property
    def clients_evicted(self) -> int:
        """Clients whose resolvers were forgotten because of the bound, since the start."""
        return self._asked.evicted + self._serving.evicted + self._told.evicted

    def was_told(self, address: bytes) -> bool:
        """Say whether `find` can have an answer for an address (16 bytes), whoever the client is."""
        return address in self._addresses

    def ask(self, client: bytes, resolver: bytes) -> None:
        """Remember that this client was seen asking this listed resolver (16 bytes each)."""
        known = self._asked.get(client, ())
        if resolver not in known and len(known) < RESOLVERS_OF_A_CLIENT:
            self._asked.put(client, (*known, resolver))
        if self._serving.get(resolver, False) is False:
            self._serving.put(resolver, None)
        self._is_shared = self._is_shared or resolver in self._told

    def learn(
        self, client: bytes, address: bytes, time: int, ttl: int, chain: tuple[str, ...], *, direct: bool
    ) -> bool:
        """Remember that ``client`` was told at ``time`` that the name leads to ``address``.

        Args:
            client: 16 bytes.
            address: 16 bytes.
            time: of the answer, nanoseconds since 1970.
            ttl: of the address record, seconds.
            chain: names from the owner of the address record to the question.
            direct: a listed resolver said so. Otherwise it counts only for the clients of ``client``,
                and only where that is a resolver itself.

        Returns:
            False where the answer counts for nobody.
        """
        key = client + address
        if not direct:
            if client not in self._everybody and client not in self._serving:
                return False
            key += _SHARED_ONLY
        kept = 0 if ttl >= _TTL_IS_ZERO_FROM else min(ttl, LONGEST_TTL)
        expires = time + kept * SECOND + GRACE
        runs = self._runs.get(key, ())
        if runs and runs[0].chain == chain and runs[0].since <= time <= runs[0].expires:
            newest = runs[0]
            again = Run(newest.since, max(newest.last, time), max(newest.expires, expires), newest.chain)
            self._runs.put(key, (again, *runs[1:]))
            self._told.get(client)  # is used
        else:
            run = Run(time, time, expires, chain)
            kept_runs = tuple(sorted((run, *runs), key=_newest_first))[:RUNS] if runs else (run,)
            self._runs.put(key, kept_runs, _text_length(kept_runs))
            self._tell(client, address)
        return True

    def find(self, client: bytes, address: bytes, started: int) -> Found | None:
        """Give the newest answer that is not later than ``started`` (nanoseconds since 1970).

        What the client was told itself comes first, then what a resolver that it asks was told.
        """
        own = self._runs.get(client + address)
        if own is not None:
            run = _newest(own, started)
            if run is not None:
                return Found(run.chain, False, min(run.last, started))
        if not self._is_shared:
            return None
        best: Run | None = None
        for resolver in self._asked.get(client, self._everybody):
            if resolver in self._told and resolver != client:
                key = resolver + address
                run = _newest((*self._runs.get(key, ()), *self._runs.get(key + _SHARED_ONLY, ())), started)
                if run is not None and (best is None or min(run.last, started) > min(best.last, started)):
                    best = run
        return None if best is None else Found(best.chain, True, min(best.last, started))

    def entries(self) -> Iterable[tuple[bytes, tuple[Run, ...]]]:
        """Give all entries for saving, the longest unused first."""
        return self._runs.items()

    def clients(self) -> Iterable[tuple[bytes, tuple[bytes, ...]]]:
        """Give each client with the resolvers that it was seen asking, for saving."""
        return self._asked.items()

    def restore(self, key: bytes, runs: tuple[Run, ...]) -> None:
        """Put back what `entries` gave."""
        self._runs.put(key, runs, _text_length(runs))
        self._tell(key[:ADDRESS_BYTES], key[ADDRESS_BYTES : 2 * ADDRESS_BYTES])

    def _tell(self, client: bytes, address: bytes) -> None:
        self._addresses.add(address)
        if len(self._addresses) > 2 * self._runs.bound:
            self._addresses = {key[ADDRESS_BYTES : 2 * ADDRESS_BYTES] for key, _ in self._runs.items()}
        if self._told.get(client, False) is False:
            self._told.put(client, None)
            self._is_shared = self._is_shared or client in self._everybody or client in self._serving


def _text_length(runs: tuple[Run, ...]) -> int:
    return sum([len(name) for run in runs for name in run.chain])


def _newest_first(run: Run) -> tuple[int, int]:
    return (-run.last, -run.since)


def _newest(runs: tuple[Run, ...], started: int) -> Run | None:
    """Give the run whose newest answer not later than ``started`` is the newest of all."""
    best: Run | None = None
    for run in runs:
        if run.since <= started <= run.expires and (
            best is None or min(run.last, started) > min(best.last, started)
        ):
            best = run
    return best
