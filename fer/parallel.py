"""Work spread over processes where that pays off, in order and with bounded memory."""

from __future__ import annotations

import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
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
    """Yield `function(item)` for every item, in order: a second's worth here, the rest in `workers()` processes.

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
    """Each worker has a pipe of its own and one chunk at a time, so one that dies is noticed and holds up nothing.

    Not concurrent.futures: where a worker dies while a task is sent, its pool waits forever in Python below 3.11.5
    (https://github.com/python/cpython/issues/94777). Results ahead of their turn wait here: at most two chunks a
    worker.
    """
    count, context = workers(), _context(function)
    chunks = enumerate(batched(items, CHUNK))
    processes: dict[Connection, BaseProcess] = {}
    idle: list[Connection] = []
    busy: dict[Connection, int] = {}
    done: dict[int, tuple[list[Result], Exception | None]] = {}
    turn = 0
    try:
        while True:
            while len(busy) < count and len(busy) + len(done) < 3 * count and (task := next(chunks, None)):
                number, chunk = task
                pipe = idle.pop() if idle else _start(context, processes, function, initializer)
                with _told_of_death():
                    pipe.send(chunk)
                busy[pipe] = number
            if not busy:
                return
            for pipe in wait(busy):
                with _told_of_death():
                    done[busy.pop(pipe)] = pipe.recv()
                idle.append(pipe)
            while turn in done:
                results, error = done.pop(turn)
                yield from results
                if error is not None:
                    raise error
                turn += 1
    finally:
        for pipe, process in processes.items():
            pipe.close()
            process.terminate()
            process.join()


@contextmanager
def _told_of_death() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:  # a message that is cut short is an OSError
        raise FerError("a worker process died; is the machine out of memory?") from error


def _context(function: Callable) -> BaseContext:
    """Return how workers are started: forked from a server that has imported the module of `function`, once for all."""
    context = get_context("forkserver")
    module = getattr(function, "func", function).__module__  # a partial's own would be functools
    context.set_forkserver_preload([module])
    with uninterrupted():
        try:
            forkserver.ensure_running()
        except OSError:  # the path of the folder for temporary files is longer than a socket's may be, 107 bytes
            context = get_context("spawn")
    return context


def _start(
    context: BaseContext, processes: dict[Connection, BaseProcess], function: Callable, initializer: Callable | None
) -> Connection:
    """Start a worker, note it in `processes` and return the pipe to it."""
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(there, function, initializer), daemon=True)
    with uninterrupted(), there:  # a copy of the worker's end held here would hide its death
        process.start()
        processes[here] = process
    return here


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


def _work(pipe: Connection, function: Callable[[Item], Result], initializer: Callable[[], None] | None) -> None:
    """Answer chunks until the other end of the pipe is gone: a worker ends with its job, even if that is killed."""
    prepare = cache(initializer or (lambda: None))
    with suppress(EOFError, OSError):
        while True:
            pipe.send_bytes(_answer(function, prepare, pipe.recv()))


def _answer(function: Callable[[Item], Result], prepare: Callable[[], None], chunk: list[Item]) -> bytes:
    """Return the pickled results of a chunk up to its first failure, and that failure or None."""
    results: list[Result] = []
    try:
        prepare()
        for item in chunk:
            results.append(function(item))
        return pickle.dumps((results, None))
    except Exception as error:
        error.add_note(traceback.format_exc())  # pickling loses the traceback
        try:
            answer = pickle.dumps((results, error))
            pickle.loads(answer)  # noqa: S301  (some pickle and cannot be made again)
        except Exception:
            answer = pickle.dumps(([], RuntimeError(error.__notes__[0])))
        return answer
