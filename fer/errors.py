"""The one exception that users are meant to read, and a way to gather several of one kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fer.wording import counted, examples

MOST_LINES = 20  # of one error


class FerError(Exception):
    """Something the user can put right: the message says what was given, what was expected and what to do.

    The command line prints it without a traceback and exits with status 2.
    """


class Faults:
    """What is wrong with the files of a source, or the rows of a table, gathered so that one error names all of them.

    Args:
        noun: what each of them is.
    """

    def __init__(self, noun: str = "file"):
        self.noun = noun
        self.found: dict[str, list[str]] = {}

    @contextmanager
    def of(self, path: str) -> Iterator[None]:
        """Gather the fault of one file (an error that begins with its path) instead of stopping at it."""
        try:
            yield
        except FerError as error:
            self.add(path, str(error).removeprefix(f"{path}: "))

    def add(self, path: str, fault: str) -> None:
        """Gather the fault of one file or row; equal faults of several become one line."""
        self.found.setdefault(fault, []).append(path)

    def say(self, fault: str) -> None:
        """Add a whole sentence, of several files that do not go together."""
        self.found.setdefault(fault, [])

    def check(self) -> None:
        """Raise one `FerError` with a line for each kind of fault, if there is any."""
        lines = [self.line(fault, paths) for fault, paths in self.found.items()]
        if len(lines) > MOST_LINES:
            rest = sum(max(1, len(paths)) for paths in list(self.found.values())[MOST_LINES:])
            lines[MOST_LINES:] = [f"… and {counted(rest, self.noun)} more"]
        if lines:
            raise FerError("\n".join(lines))

    def line(self, fault: str, paths: list[str]) -> str:
        """Return the line for one fault of one or several files, or for a whole sentence."""
        if not paths:
            return fault
        several = f"{counted(len(paths), self.noun)}: {fault}: {examples(paths)}"
        return f"{paths[0]}: {fault}" if len(paths) == 1 else several
