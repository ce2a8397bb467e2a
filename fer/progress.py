"""Progress of long work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

Item = TypeVar("Item")
logger = logging.getLogger("fer")
SECONDS = 10  # between two lines of a log


def track(items: Iterable[Item], total: int | None, title: str) -> Iterator[Item]:
    """Yield `items` unchanged while showing how many of `total` (None: unknown) have passed.

    With a log file the job is one of several that share the terminal: its bar would tear those of the others.
    """
    return _bar(items, total, title) if on_terminal() else _lines(items, total, title)


class Transfer:
    """The progress of a download, shown while the block lasts, as pooch drives it: it sets `total`, then updates."""

    total = 0  # bytes; 0 where the server does not say

    def __init__(self, title: str):
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        console = Console(stderr=True)
        self.bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not on_terminal())
        self.title, self.task, self.done, self.last = title, self.bar.add_task(title, total=None), 0, time.monotonic()

    def __enter__(self) -> Transfer:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def update(self, count: int) -> None:
        """Advance by `count` bytes."""
        self.done += count
        self.bar.update(self.task, completed=self.done, total=self.total or None)
        if self.bar.disable and time.monotonic() - self.last > SECONDS:
            self.last = time.monotonic()
            logger.info("%s: %s of %s bytes", self.title, f"{self.done:,}", f"{self.total:,}" if self.total else "?")

    def reset(self) -> None:
        """Begin again: pooch does before it fills the bar at the end."""
        self.done = 0

    def close(self) -> None:
        """Pooch's last call; the end of the block removes the bar."""


def on_terminal() -> bool:
    """Return whether a bar may be drawn."""
    logged = any(isinstance(handler, logging.FileHandler) for handler in logging.getLogger().handlers)
    return sys.stderr.isatty() and not logged


def _bar(items: Iterable[Item], total: int | None, title: str) -> Iterator[Item]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(items, total=total, description=title)


def _lines(items: Iterable[Item], total: int | None, title: str) -> Iterator[Item]:
    last = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        if time.monotonic() - last > SECONDS:
            last = time.monotonic()
            logger.info("%s: %s of %s", title, f"{count:,}", f"{total:,}" if total else "?")
