"""Progress of long work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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


@contextmanager
def transfer(title: str, done: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of bytes each time some have arrived.

    Args:
        done: bytes that were there before.
        total: bytes of the whole, if known.
    """
    if on_terminal():
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(title, total=total, completed=done)
            yield lambda count: progress.advance(task, count)
        return
    last = time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, last
        done += count
        if time.monotonic() - last > SECONDS:
            last = time.monotonic()
            logger.info("%s: %s of %s bytes", title, f"{done:,}", f"{total:,}" if total else "?")

    yield advance


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
