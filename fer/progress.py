"""Progress of long work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")
logger = logging.getLogger("fer")
SECONDS = 10  # between two lines of a log


def track(items: Iterable[Item], total: int | None, title: str) -> Iterator[Item]:
    """Yield `items` unchanged while showing how many of `total` (None: unknown) have passed.

    With a log file the job is one of several that share the terminal: its bar would tear those of the others.
    """
    logged = any(isinstance(handler, logging.FileHandler) for handler in logging.getLogger().handlers)
    bar = sys.stderr.isatty() and not logged
    return _bar(items, total, title) if bar else _lines(items, total, title)


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
