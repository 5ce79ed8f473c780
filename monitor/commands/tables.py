"""Tables of the commands that show evidence: all of one look."""

from collections.abc import Collection

from rich import box
from rich.table import Table
from rich.text import Text


def table(title: str, *headings: str, numbers: Collection[str] = ()) -> Table:
    """Make an empty table; columns of `numbers` stand to the right."""
    made = Table(
        title=Text(title, style="bold") if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for heading in headings:
        made.add_column(heading, overflow="fold", justify="right" if heading in numbers else "left")
    return made
