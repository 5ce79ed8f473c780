"""What DNS said about each open flow, fixed when the flow was first seen."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Literal

from monitor.attribute.bounded import BoundedCache
from monitor.attribute.passive_dns import Found

KEPT_AFTER_END = 60 * 10**9  # nanoseconds; packets that come within it keep the flow's id


class FlowMemory:
    """From flow id to the answer of passive DNS, or None where there was none.

    A flow takes about 190 bytes with an answer and 80 without, 100 MB with the default bound and an
    answer for each. One that is forgotten while open is looked up again by its start, which gives the
    same answer unless that has left passive DNS since; it is counted in ``evicted``.
    """

    def __init__(self, bound: int = 2**19) -> None:
        self._answers: BoundedCache[int, Found | None] = BoundedCache(bound)
        self._ended: deque[tuple[int, list[int]]] = deque()  # when to let go, and of which flows

    def __len__(self) -> int:
        return len(self._answers)

    @property
    def evicted(self) -> int:
        """Flows forgotten because of the bound, since the start."""
        return self._answers.evicted

    def answers(self, flow_ids: Iterable[int]) -> dict[int, Found | Literal[False] | None]:
        """Give what was fixed for each flow and count it as used; False where a flow is not known."""
        return self._answers.get_all(flow_ids, False)

    def fix(self, answers: Mapping[int, Found | None]) -> None:
        """Keep the answers of flows that were not known, for their lives."""
        self._answers.put_all(answers)

    def end(self, flow_ids: list[int], tick: int) -> None:
        """Let flows go, a minute after ``tick`` (nanoseconds since 1970)."""
        self._ended.append((tick + KEPT_AFTER_END, flow_ids))

    def expire(self, tick: int) -> None:
        """Forget the flows whose minute is over at ``tick`` (nanoseconds since 1970)."""
        while self._ended and self._ended[0][0] < tick:
            self._answers.drop_all(self._ended.popleft()[1])
