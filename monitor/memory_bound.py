"""What the whole process may take at most, out of the configuration: docs/limits.md says the same in words.

Each number is a bound of the part that it names, rounded up, with what its allocator and tables waste.
tests/tools/test_memory.py plays what an attacker would send against it.
"""

from collections.abc import Sequence

from monitor.config import CaptureConfig, EvidenceConfig
from monitor.judge.ways import Ways

MIB = 2**20

# the interpreter, the libraries, the shipped rules, catalogue and databases
PROCESS = 192 * MIB
# of a worker: questions that wait, who opened flows, buffers of files, a burst, the program's own
WORKER = 48 * MIB
# rows that a batch may weigh, as in the hot path: live (flowcore/src/line.rs), and in a replay (a third above
# what capture.py asks for)
LIVE_ROWS = 2**18
REPLAY_ROWS = 2**19
# bytes that a row takes from the worker until it is judged: columns of its own, those that are filled again,
# what its numbers stand for, and in one batch of the four whole columns for who asks
ROW = 400
# of one worker: the batch that is filled, two that wait, and the one that Python works on
BATCHES = 4
# what DNS said and who asked for what, names of open flows, look-ups, rows of metrics, the replay's table,
# alerts that ended
STAGES = 672 * MIB
# groups that the rows of one batch bring to one rule, until most of them find no room: bytes for each row
NEW_GROUP = 512
# of one rule: 524 288 entries of windows (up to 48 bytes, twice while they are joined),
# 16 384 groups of 1 KiB, and the flows that 512 open alerts and 512 that ended show
RULE = 96 * MIB
# besides, of a rule with this way to fire:
BASELINE = 72 * MIB  # 4 096 pasts of 28 days, 16 KiB each
NOVEL = 24 * MIB  # 73 728 values that are known and 16 384 groups that learn, 260 bytes each
DISTINCT = 12 * MIB  # 262 144 values in tables that are half full at worst
START = 48 * 16_384  # each start of `periodic`: three are kept, 8 bytes each in lists that may be half full
# what keeps evidence (monitor/evidence/keeper.py): rows on their way to it, those of the next file, packets
# on their way to the disk, connections of capsules that are made together
EVIDENCE = 616 * MIB
PACKETS = 64 * MIB  # of these capsules; one alone may have more


def rule_bound(ways: Ways) -> int:
    """Give the bytes that a rule with these ways to fire remembers at most."""
    bound = RULE
    for way, size in ((ways.baseline, BASELINE), (ways.novel, NOVEL), (ways.distinct, DISTINCT)):
        bound += size if way is not None else 0
    return bound + (ways.periodic.count * START if ways.periodic is not None else 0)


def memory_bound(
    capture: CaptureConfig,
    rules: Sequence[Ways],
    interfaces: int = 0,
    evidence: EvidenceConfig | None = None,
) -> int:
    """Give the bytes of memory that the process takes at most.

    Args:
        capture: the configuration of the workers.
        rules: of the rules that run, the ways to fire.
        interfaces: how many are watched; 0: a replay, which has no rings.
        evidence: what is kept of the recent past; None: nothing is.
    """
    memory = capture.memory
    tables = memory.flows + memory.fragments + memory.streams + memory.dns
    worker = WORKER + interfaces * capture.ring + tables * 5 // 4
    # several workers share a batch's rows between them, and what waits for the slowest is one batch more
    rows = LIVE_ROWS if interfaces else REPLAY_ROWS
    batches = (BATCHES + (capture.workers > 1)) * rows * ROW
    groups = rows * NEW_GROUP
    kept = 0 if evidence is None else EVIDENCE + max(PACKETS, evidence.capsules.packets)
    return PROCESS + capture.workers * worker + batches + STAGES + groups + kept + sum(map(rule_bound, rules))
