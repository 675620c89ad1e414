"""Where commands print: what they print stands there as it is."""

from rich.console import Console


def open_console(*, stderr: bool = False) -> Console:
    """A console without markup: ids and texts of others may hold what would be taken for it."""
    return Console(markup=False, emoji=False, stderr=stderr)
