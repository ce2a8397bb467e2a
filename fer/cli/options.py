"""Options that several commands share, and the line that each command ends with."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from fer import params

logger = logging.getLogger("fer")
DatasetName = Annotated[str, typer.Argument(help="Dataset: the name of a file in params/datasets/.")]
ExperimentName = Annotated[str, typer.Argument(help="Experiment: the name of a file in params/experiments/.")]
Root = Annotated[Path, typer.Option(help="Folder that holds the study's artifacts.")]
StudyFile = Annotated[Path, typer.Option(help="The study file.")]
Fold = Annotated[str, typer.Option(help="Fold of the experiment's protocol.")]
Seed = Annotated[int, typer.Option(min=0, max=params.LARGEST_SEED, help="Seed of weights, order and augmentation.")]
Device = Annotated[str, typer.Option(help="auto (the first available of CUDA, MPS and CPU), cpu, cuda or mps.")]
Threads = Annotated[
    int, typer.Option(min=1, max=1024, help="CPU threads. Only with the same number is a run repeatable to the bit.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override the recipe (epochs=5, augmentation.rotation=15), the input's size, a backbone's weights, or the "
        "number of draws of each offline transform. Repeatable.",
    ),
]


def announce(stage: str, name: str, work: Callable[[], str]) -> None:
    """Do the work and report its result in one line, on the terminal and in the log."""
    started = time.monotonic()
    logger.debug("%s %s: %s", stage, name, " ".join(sys.argv))
    line = f"{stage} {name}: {work()} [{time.monotonic() - started:.1f} s]"
    print(line, flush=True)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(logging.makeLogRecord({"levelname": "INFO", "msg": line}))
