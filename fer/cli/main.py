"""The command `fer`: all commands, its log, and its errors."""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from fer.cli import data, networks, reports, use
from fer.errors import FerError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="A reproducible benchmark of facial-expression recognition. The stages, in order: "
    "**acquire → index → align → blocks → split → augment → train → evaluate → explain → report**. "
    "`snakemake --cores 8 all` or `dvc repro` runs them all. Each can also be run by hand from the project's folder.",
)
for commands in (data, networks, use, reports):
    app.add_typer(commands.app)
logger = logging.getLogger("fer")


@app.callback()
def options(
    log: Annotated[
        Path | None,
        typer.Option(
            help="Write the full log, progress included, to this file. The log of an unfinished attempt is continued."
        ),
    ] = None,
) -> None:
    """Set up logging: warnings on the terminal, everything in the log file."""
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING if log else logging.INFO)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [terminal]
    if log:
        handlers.append(open_log(log))
        handlers[-1].setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    logger.setLevel(logging.INFO)


def open_log(log: Path) -> logging.FileHandler:
    """Open a stage's log; that of an unfinished attempt is continued.

    Snakemake deletes a job's log before it runs the job again: it is found again under its second, hidden name.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    kept = log.with_name(f".{log.stem}")
    with suppress(OSError):  # no earlier attempt, or a file system without hard links, where the log begins anew
        if not log.exists():
            os.link(kept, log)
    handler = logging.FileHandler(log, mode="w" if ended(log) else "a", encoding="utf-8")
    with suppress(OSError):
        kept.unlink(missing_ok=True)
        os.link(log, kept)
    return handler


def ended(log: Path) -> bool:
    """Return whether a log's stage ended; a retry continues the log of an interrupted or failed stage."""
    if not log.exists():
        return False
    with open(log, "rb") as file:
        file.seek(-min(log.stat().st_size, len("[999999.9 s]\n")), os.SEEK_END)
        return file.read().endswith(b" s]\n")


def out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out: torch has an error of its own for this on a GPU, but only a message on a CPU."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't alloc" in str(error)


def terminated(number: int, frame: FrameType | None) -> None:
    """Treat SIGTERM, which ends a job that timed out or is preempted, like Ctrl-C: training saves its last epoch."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the saving
    answer = signal.getsignal(signal.SIGINT)  # to wait (fer/parallel.py), or none in a background job
    (answer if callable(answer) else signal.default_int_handler)(number, frame)


def main() -> None:
    """Run the command line; an error that the user can fix is one line and exit status 2."""
    signal.signal(signal.SIGTERM, terminated)
    try:
        app(prog_name="fer")
    except FerError as error:
        logger.error("error: %s", error)
        sys.exit(2)
    except OSError as error:
        logger.error("error: %s", error)
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        logger.error("error: out of memory. Run fewer jobs at once (snakemake --cores)")
        sys.exit(1)
