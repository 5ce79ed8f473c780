"""Lets Python's cycle collector run rarely.

The tables of the stages hold some 100 000 small objects and make no cycles, and a batch has lists of as
many values as it has rows; walking them again and again took a tenth of a replay's CPU time. What is there
when the work begins is never walked again.
"""

import gc

# Containers made, less those gone, before the young ones are walked. A replay's batches are large, and it
# ends; live, a collection holds everybody up, and fewer objects take less time.
REPLAY = (250_000, 20, 50)
LIVE = (50_000, 20, 50)


def starting() -> None:
    """Say that the program starts: what is loaded and built then stays."""
    gc.set_threshold(*LIVE)


def spare_collector(*, live: bool) -> None:
    """Say that the work begins; once is enough."""
    if live:
        gc.collect()
    gc.freeze()
    gc.set_threshold(*(LIVE if live else REPLAY))


def ending() -> None:
    """Say that the program ends: what is there goes with it, and need not be walked once more."""
    gc.freeze()
