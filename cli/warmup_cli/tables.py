"""How lists look: columns without lines, one row a line where nobody's terminal folds it, so that ``grep`` finds whole rows."""

from rich.console import Console
from rich.table import Table

_WIDE = 2000


def table(*headings: str, folds: str = "") -> Table:
    """An empty table. ``folds``: the heading of the column whose long texts a terminal may break."""
    made = Table(box=None, pad_edge=False)
    for heading in headings:
        made.add_column(heading, no_wrap=heading != folds, overflow="fold")
    return made


def show(made: Table) -> None:
    """Print it."""
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = _WIDE
    console.print(made)
