"""A small chart for the terminal: one line of blocks, as high as the largest value."""

from collections.abc import Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"


def bars(values: Sequence[float], largest: float) -> str:
    """Draw values as blocks; what is not 0 is seen, however small."""
    if largest <= 0:
        return " " * len(values)
    steps = len(BLOCKS) - 1
    heights = [min(steps, max(1, round(value / largest * steps))) if value > 0 else 0 for value in values]
    return "".join(BLOCKS[height] for height in heights)
