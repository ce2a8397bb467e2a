"""Work spread over processes with the order kept and memory bounded."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from fer.errors import FerError
from fer.storage import batched

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 32  # items a task: small enough to balance, large enough that sending it costs nothing


def workers() -> int:
    """Return how many processes this job may use: the machine's cores, or fewer where Snakemake gave it fewer."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(available, int(os.environ.get("OMP_NUM_THREADS") or available)))


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], initializer: Callable[[], None] | None = None
) -> Iterator[Result]:
    """Yield `function(item)` for every item, in order, computed by `workers()` processes.

    At most two chunks a worker are in flight, so neither inputs nor results pile up. An exception of `function` is
    raised here; a worker that dies (out of memory, say) is a `FerError`.
    """
    count = workers()
    # forkserver: workers inherit neither threads nor locks, and start without importing the parent again
    with ProcessPoolExecutor(count, get_context("forkserver"), initializer) as pool:
        pending = deque()
        try:
            for chunk in batched(items, CHUNK):
                pending.append(pool.submit(_apply, function, chunk))
                if len(pending) > 2 * count:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        except BrokenProcessPool as error:
            raise FerError("a worker process died; is the machine out of memory?") from error
        finally:
            for future in pending:
                future.cancel()


def _apply(function: Callable[[Item], Result], chunk: list[Item]) -> list[Result]:
    return [function(item) for item in chunk]
