"""Work spread over processes, where it is worth that, with the order kept and memory bounded."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection
from typing import TypeVar

from fer.errors import FerError
from fer.machine import cores
from fer.storage import batched

Item = TypeVar("Item")
Result = TypeVar("Result")

ALONE = 1.0  # seconds of work before processes are started for the rest
END = object()
CHUNK = 32  # items a task: small enough to balance, large enough that sending it costs nothing


def workers() -> int:
    """Return how many processes this job may use: the machine's cores, or fewer where Snakemake gave it fewer."""
    available = cores()
    return max(1, min(available, int(os.environ.get("OMP_NUM_THREADS") or available)))


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], initializer: Callable[[], None] | None = None
) -> Iterator[Result]:
    """Yield `function(item)` for every item, in order: a second's worth here, the rest by `workers()` processes.

    Starting them takes longer than a small dataset does. An exception of `function` is raised here; a worker that
    dies (out of memory, say) is a `FerError`.
    """
    items, spent = iter(items), 0.0
    if initializer:
        with uninterrupted():  # a library that is interrupted in its import fails with an error of its own
            initializer()
    while spent < ALONE:
        if (item := next(items, END)) is END:
            return
        started = time.perf_counter()
        result = function(item)
        spent += time.perf_counter() - started
        yield result
    yield from _by_processes(function, items, initializer)


def _by_processes(
    function: Callable[[Item], Result], items: Iterator[Item], initializer: Callable[[], None] | None
) -> Iterator[Result]:
    """At most two chunks a worker are in flight, so neither inputs nor results pile up."""
    count = workers()
    context = get_context("forkserver")
    module = getattr(function, "func", function).__module__  # a partial's own would be functools
    context.set_forkserver_preload([module])  # imported once, not by every worker
    with uninterrupted():
        try:
            forkserver.ensure_running()
        except OSError:  # the path of the folder for temporary files is longer than a socket's may be, 107 bytes
            context = get_context("spawn")
    lifeline, held = context.Pipe(duplex=False)
    with held, ProcessPoolExecutor(count, context, _prepare, (lifeline, initializer)) as pool:
        pending = deque()
        try:
            for chunk in batched(items, CHUNK):
                with uninterrupted():  # the first tasks start the workers
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


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C while processes are started: one half started ends in a traceback of its own.

    The server that workers are forked from inherits the blocked signal, so workers are deaf to it and the parent alone
    answers. Blocking does not suffice here: the system hands the signal to any thread, NumPy's among them, and Python
    to the main one. So it is noted, and answered at the end of the block.
    """
    noted: list[tuple] = []
    answer = signal.signal(signal.SIGINT, lambda *arguments: noted.append(arguments))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, answer)
        if noted and callable(answer):
            answer(*noted[0])


def _prepare(lifeline: Connection, initializer: Callable[[], None] | None) -> None:
    """Make a worker end with the job it works for, even one that is killed, then prepare it."""

    def watch() -> None:
        with suppress(EOFError, OSError):
            lifeline.recv()  # nothing is ever sent: this returns when the other end is gone
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if initializer:
        initializer()


def _apply(function: Callable[[Item], Result], chunk: list[Item]) -> list[Result]:
    return [function(item) for item in chunk]
