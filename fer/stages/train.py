"""train: from crops, index and split to `runs/<experiment>/<fold>.<seed>/`, weights and a record of their training."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import save

from fer import layout
from fer.closure import listing
from fer.devices import choose_device, describe, precision_in_effect
from fer.errors import FerError
from fer.machine import environment
from fer.networks import load_network, predecessor, untrained
from fer.params import Recipe
from fer.runs import Run, read_parameters
from fer.storage import file_sha256, sha256, write_bytes, write_json, write_text
from fer.tracking.live import LiveRun
from fer.training.checkpoint import SECONDS, Checkpoint, State
from fer.training.data import load_part
from fer.training.loop import train as train_network
from fer.training.targets import Teacher, teacher
from fer.wording import counted


def train(run: Run, device: str = "auto", checkpoint_seconds: float = SECONDS) -> str:
    """Train one run and write its artifacts; return a line for the terminal.

    An interrupted training resumes after its last saved epoch, with the same outcome, unless its parameters, its data,
    the code, torch, the device or the precision have changed since. It is saved at most every `checkpoint_seconds`.
    """
    started = time.monotonic()
    chosen = choose_device(device, run.threads)
    precision = precision_in_effect(run.recipe.precision, chosen, run.bf16_on_cpu)
    recipe = run.recipe.model_copy(update={"precision": precision})
    if not starts_random(run):
        untrained(run, torch.device("cpu"))  # weights that do not fit are an error now, before images are read
    taught_by = make_teacher(run, chosen)
    parts = {
        "train": load_part(run.source, "train", chosen),
        "val": load_part(run.source, recipe.choose_epoch_on, chosen),
    }
    computed_on = describe(chosen, precision)
    with LiveRun(run) as live, Checkpoint(resume_point(run, computed_on), checkpoint_seconds) as checkpoint:
        state = train_network(
            lambda: untrained(run, chosen),
            len(run.dataset.classes),
            run.system.input,
            recipe,
            parts,
            run.seed,
            chosen,
            checkpoint,
            live.log,
            taught_by,
        )
    write_run(run, recipe, state)
    seconds = round(state.earlier + time.monotonic() - started, 1)
    where = environment() | computed_on | {"seconds": seconds, "peak_memory_mb": peak_memory()}
    write_json(run.folder / layout.ENVIRONMENT, where)
    for leftover in run.folder.glob("*.checkpoint"):
        leftover.unlink()
    last = recipe.keep == "last"
    kept = state.history[-1] if last else max(state.history, key=lambda row: row["val_accuracy"])
    what = f"{'last' if last else 'best'} of {counted(len(state.history), 'epoch')}: {kept['epoch']}"
    part = "validation" if recipe.choose_epoch_on == "val" else "TEST"
    return f"{what}, {part} accuracy {kept['val_accuracy']:.2%}"


def peak_memory() -> float:
    """Return the peak memory of this process in MB."""
    unit = 1 if sys.platform == "darwin" else 1024  # in bytes on macOS, in kilobytes on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)


def write_run(run: Run, recipe: Recipe, state: State) -> None:
    """Write weights, history and parameters; `recipe` is the run's with the precision in effect."""
    weights = save({name: value.contiguous().cpu() for name, value in state.best_weights.items()})
    write_bytes(run.folder / layout.WEIGHTS, weights)
    history = pd.DataFrame(state.history)
    write_text(run.folder / layout.HISTORY, history.to_csv(index=False, lineterminator="\n"))
    recorded = {
        "recipe": recipe,
        "data": {name: file_sha256(path) for name, path in (run.data | run.networks).items()},
        "weights": sha256(weights),
        "started_on": read_parameters(Path(recipe.start_from)).trained_on if recipe.start_from else {},
    }
    write_json(run.folder / layout.PARAMETERS, run.parameters.model_copy(update=recorded).dump())


def starts_random(run: Run) -> bool:
    """Return whether training starts from random weights alone, not from those of a backbone or another network."""
    random = run.system.architecture.get("weights", "random") == "random"
    return random and not run.recipe.start_from and "infrared_from" not in run.predecessors


def make_teacher(run: Run, device: torch.device) -> Teacher | None:
    """Return what gives the target distributions, if the experiment names a network for that."""
    if "teacher" not in run.predecessors:
        return None
    other = predecessor(run, "teacher")
    given, taken = run.system.input, other.parameters.input
    if (given.size, given.channels) != (taken.size, taken.channels):
        raise FerError(
            f"{run.name}: the teacher {other.name} takes {taken.size}×{taken.size} images with "
            f"{counted(taken.channels, 'channel')}, it itself {given.size}×{given.size} with "
            f"{given.channels}: both must take the same images"
        )
    return teacher(load_network(other.folder, device)[0], taken)


def resume_point(run: Run, computed_on: dict) -> Path:
    """Return the checkpoint's path, named after everything that decides the outcome; drop those of other trainings.

    Args:
        computed_on: what the training computes on (`fer.devices.describe`).
    """
    code = listing("train", run.experiment.system)
    decisive = [run.resolved(), computed_on, torch.__version__, code]
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode())
    others = [other.folder / layout.PARAMETERS for other in run.predecessors.values()]
    for path in (*run.data.values(), *run.networks.values(), *others):
        digest.update(file_sha256(path).encode())
    path = run.folder / f"{digest.hexdigest()[:16]}.checkpoint"
    for other in run.folder.glob("*.checkpoint"):
        if other != path:
            other.unlink()
    return path
