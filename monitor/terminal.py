"""What reaches a terminal: tables that fit, and no text from the wire that could steer it.

Names in packets are chosen by whoever sends them. Control characters could move the cursor or change
the window's title, and bidirectional marks could turn a line around, so both are written as escapes
(Unicode TR 36, section 2.10). Text goes into ``rich`` as `Text`, never as markup.
"""

import sys
from typing import IO

from rich.console import Console
from rich.text import Text

WIDTH = 100  # where the output is not a terminal and so has no width of its own
LONGEST_CELL = 255  # characters of one text in a table; names have at most 253
LONGEST_LINE = 4096


def visible(text: str, longest: int = LONGEST_LINE) -> str:
    r"""Write everything that a terminal does not show as itself as ``\u{...}``, and cut what is longer."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    if cut.isprintable():
        return cut
    return "".join(sign if sign.isprintable() else f"\\u{{{ord(sign):x}}}" for sign in cut)


def safe(text: str, style: str = "", longest: int = LONGEST_CELL) -> Text:
    """Make text from the wire into a cell or a line: escaped, and never read as markup."""
    return Text(visible(text, longest), style=style)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to whoever ends the program; rich would exit with 1, which means another thing here."""
        raise BrokenPipeError


def console(stream: IO[str] | None = None) -> Console:
    """Make a console on ``stream`` (default: standard output); plain where that is not a terminal."""
    target = stream or sys.stdout
    width = None if target.isatty() else WIDTH
    return _Console(file=target, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)
