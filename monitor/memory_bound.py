"""What the whole process may take at most, out of the configuration: docs/limits.md says the same in words.

Each number is a bound of the part that it names, rounded up, with what its allocator and tables waste.
tests/tools/test_memory.py plays what an attacker would send against it.
"""

from monitor.config import CaptureConfig

MIB = 2**20

# the interpreter, the libraries, the shipped rules, catalogue and databases
PROCESS = 192 * MIB
# of a worker: questions that wait, who opened flows, buffers of files, a burst, the program's own
WORKER = 48 * MIB
# rows that a batch may weigh, as in the hot path (flowcore/src/line.rs)
BATCH_ROWS = 2**18
# bytes that a row takes from the worker until it is judged, with the copies on its way
ROW = 600
# of one worker: the batch that is filled, two that wait, and the one that Python works on
BATCHES = 4
# what DNS said and who asked for what, names of open flows, look-ups, rows of metrics, the replay's table
STAGES = 512 * MIB
# windows and groups of one rule
RULE = 64 * MIB


def memory_bound(capture: CaptureConfig, rules: int, interfaces: int = 0) -> int:
    """Give the bytes of memory that the process takes at most.

    Args:
        capture: the configuration of the workers.
        rules: how many rules run.
        interfaces: how many are watched; 0: a replay, which has no rings.
    """
    memory = capture.memory
    tables = memory.flows + memory.fragments + memory.streams + memory.dns
    worker = WORKER + interfaces * capture.ring + tables * 5 // 4
    # several workers share a batch's rows between them, and what waits for the slowest is one batch more
    batches = (BATCHES + (capture.workers > 1)) * BATCH_ROWS * ROW
    return PROCESS + capture.workers * worker + batches + STAGES + rules * RULE
