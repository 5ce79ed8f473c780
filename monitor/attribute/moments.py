"""When what was seen counts: at the time of its packet, but not before the tick that it came in.

So that a packet that came late changes nothing in a tick that is over, wherever batches are cut.
"""

import polars as pl

MILLISECOND = 10**6  # nanoseconds; ticks are in milliseconds


def moment(time: str) -> pl.Expr:
    """Give nanoseconds since 1970, from a column of times and the column ``tick``."""
    return pl.max_horizontal(pl.col(time).to_physical(), pl.col("tick").to_physical() * MILLISECOND).alias(
        "moment"
    )
