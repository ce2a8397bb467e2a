"""train: from crops, index and split to `runs/<experiment>/<fold>.<seed>/`, weights and how they came about."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import resource
import time
from pathlib import Path

from lightning_fabric import Fabric
from safetensors.torch import save

import fer
from fer import layout
from fer.devices import device_name, make_fabric
from fer.errors import FerError
from fer.machine import environment
from fer.networks import trained, untrained
from fer.runs import Run
from fer.storage import file_sha256, write_bytes, write_json, write_text
from fer.tracking.live import LiveRun
from fer.training.data import load_part
from fer.training.loop import HISTORY_COLUMNS
from fer.training.loop import train as train_network
from fer.training.targets import Teacher, teacher


def train(run: Run, device: str = "auto") -> str:
    """Train one run and write its artifacts; return a line for the terminal.

    An interrupted training goes on after its last whole epoch, with the same outcome, unless its parameters, its data
    or the code have changed since.
    """
    started = time.monotonic()
    fabric = make_fabric(device, run.recipe.precision, run.threads)
    parts = {
        "train": load_part(run.source, "train", fabric.device),
        "val": load_part(run.source, run.recipe.choose_epoch_on, fabric.device),
    }
    with LiveRun(run) as live:
        state = train_network(
            lambda: untrained(run, fabric.device),
            len(run.dataset.classes),
            run.system.input,
            run.recipe,
            parts,
            run.seed,
            fabric,
            resume_point(run),
            live.log,
            make_teacher(run, fabric),
        )
    weights = {name: value.contiguous().cpu() for name, value in state.best_weights.items()}
    write_bytes(run.folder / layout.WEIGHTS, save(weights))
    write_history(run.folder / layout.HISTORY, state.history)
    data = {name: file_sha256(path) for name, path in read(run).items()}
    write_json(run.folder / layout.PARAMETERS, run.resolved() | {"data": data})
    seconds = round(time.monotonic() - started, 1)
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    where = environment() | {"device": device_name(fabric), "seconds": seconds, "peak_memory_mb": peak}
    write_json(run.folder / layout.ENVIRONMENT, where)
    for leftover in run.folder.glob("*.checkpoint"):
        leftover.unlink()
    last = run.recipe.keep == "last"
    kept = state.history[-1] if last else max(state.history, key=lambda row: row["val_accuracy"])
    what = f"{'last' if last else 'best'} of {len(state.history)} epochs: {kept['epoch']}"
    part = "validation" if run.recipe.choose_epoch_on == "val" else "TEST"
    return f"{what}, {part} accuracy {kept['val_accuracy']:.2%}"


def make_teacher(run: Run, fabric: Fabric) -> Teacher | None:
    """Return what says the target distributions, where the experiment names a network for it."""
    other = run.predecessors.get("teacher")
    if other is None:
        return None
    other = other.as_trained()
    given, taken = run.system.input, other.system.input
    if (given.size, given.channels) != (taken.size, taken.channels):
        raise FerError(
            f"{run.name}: its teacher {other.name} takes {taken.size}×{taken.size} images with {taken.channels} "
            f"channel(s), it itself {given.size}×{given.size} with {given.channels}: they must see the same images"
        )
    return teacher(trained(other, fabric.device), taken)


def read(run: Run) -> dict[str, Path]:
    """Return every file that training reads, by what it is: data, other networks, pretrained weights."""
    files = run.data | {key: other.folder / layout.WEIGHTS for key, other in run.predecessors.items()}
    weights = run.system.architecture.get("weights", "random")
    return files if weights in ("random", "imagenet") else files | {"weights": Path(weights)}


def resume_point(run: Run) -> Path:
    """Return the checkpoint's path, named after everything that decides the outcome; drop those of other trainings."""
    digest = hashlib.sha256(json.dumps(run.resolved(), sort_keys=True).encode())
    package = Path(fer.__file__).parent
    code = sorted([*(package / "systems").glob("*.py"), *(package / "training").glob("*.py")])
    for path in (*read(run).values(), *code):
        digest.update(file_sha256(path).encode())
    path = run.folder / f"{digest.hexdigest()[:16]}.checkpoint"
    for other in run.folder.glob("*.checkpoint"):
        if other != path:
            other.unlink()
    return path


def write_history(target: Path, history: list[dict]) -> None:
    """Write the history as CSV, floats with every digit they have."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(target, text.getvalue())
