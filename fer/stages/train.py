"""train: from crops, index and split to `runs/<experiment>/<fold>.<seed>/`, weights and how they came about."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import time
from pathlib import Path

from safetensors.torch import save

import fer
from fer import layout, systems
from fer.devices import device_name, make_fabric
from fer.machine import environment
from fer.runs import Run
from fer.storage import file_sha256, write_bytes, write_json, write_text
from fer.tracking import LiveRun
from fer.training.data import load_part
from fer.training.loop import HISTORY_COLUMNS
from fer.training.loop import train as train_network


def train(run: Run, device: str = "auto") -> str:
    """Train one run and write its artifacts; return a line for the terminal.

    An interrupted training goes on after its last whole epoch, with the same outcome, unless its parameters, its data
    or the code have changed since.
    """
    started = time.monotonic()
    fabric = make_fabric(device, run.recipe.precision, run.threads)
    parts = {
        part: load_part(
            **run.data,
            modality=run.experiment.modality,
            fold=run.fold,
            part=part,
            input=run.system.input,
            device=fabric.device,
        )
        for part in ("train", "val")
    }
    with LiveRun(run) as live:
        state = train_network(
            lambda: systems.build(run.experiment.system, run.system, len(run.dataset.classes)),
            run.system.input,
            run.recipe,
            parts,
            run.seed,
            fabric,
            resume_point(run),
            live.log,
        )
    weights = {name: value.contiguous().cpu() for name, value in state.best_weights.items()}
    write_bytes(run.folder / layout.WEIGHTS, save(weights))
    write_history(run.folder / layout.HISTORY, state.history)
    data = {name: file_sha256(path) for name, path in run.data.items()}
    write_json(run.folder / layout.PARAMETERS, run.resolved() | {"data": data})
    seconds = round(time.monotonic() - started, 1)
    write_json(run.folder / layout.ENVIRONMENT, environment() | {"device": device_name(fabric), "seconds": seconds})
    for leftover in run.folder.glob("*.checkpoint"):
        leftover.unlink()
    best = max(state.history, key=lambda row: row["val_accuracy"])
    return f"best of {len(state.history)} epochs: {best['epoch']}, validation accuracy {best['val_accuracy']:.2%}"


def resume_point(run: Run) -> Path:
    """Return the checkpoint's path, named after everything that decides the outcome; drop those of other trainings."""
    digest = hashlib.sha256(json.dumps(run.resolved(), sort_keys=True).encode())
    package = Path(fer.__file__).parent
    code = sorted([*(package / "systems").glob("*.py"), *(package / "training").glob("*.py")])
    for path in (*run.data.values(), *code):
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
