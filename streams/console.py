"""The console that tables are printed to. Rich takes 60 ms to import: import this where a table is printed."""

from typing import NoReturn

from rich import console


class Console(console.Console):
    """A console whose reader may leave: Rich would end the process with status 1."""

    def on_broken_pipe(self) -> NoReturn:
        """Lets the command end as it does wherever its reader leaves."""
        raise BrokenPipeError
