"""The facts to read a kept run's figures with: its budget, epochs, machine, command and parameters."""

from __future__ import annotations

import shlex
from pathlib import Path

import pandas as pd

from fer.errors import FerError
from fer.evaluation.summary import kept_epoch
from fer.reporting import budget
from fer.runs import Run
from fer.wording import examples

OF_ONE_RUN = ("fold", "seed", "data", "weights", "threads", "bf16_on_cpu")  # in which the runs of an experiment differ
MACHINE = ("date", "commit", "processor", "cores", "threads", "device", "precision", "torch", "seconds")


def facts_of(run: Run, summary: dict) -> dict:
    """Return the facts to read a run's figures with, ready for JSON."""
    history, parameters, machine = pd.DataFrame(summary["history"]), summary["parameters"], summary["environment"]
    best = kept_epoch(history, parameters["recipe"]["keep"])
    return {
        "fold": run.fold,
        "seed": run.seed,
        "budget": vars(budget.measure([run], [history], parameters)),
        "best_epoch": int(best["epoch"]),
        "chosen_on": parameters["recipe"]["choose_epoch_on"],
        "accuracy_there": float(best["val_accuracy"]),
        "never_learned": summary["never_learned"],
        "robustness": accuracies_by_severity(pd.DataFrame(summary["robustness"])),
        "environment": {key: machine[key] for key in MACHINE if key in machine},
        "command": command(run, parameters),
    }


def accuracies_by_severity(table: pd.DataFrame) -> dict:
    """Return the accuracies on corrupted images, {corruption: [one per severity]}, and n, how many were corrupted."""
    if table.empty:
        return {}
    accuracies = table.sort_values(["corruption", "severity"]).groupby("corruption")["accuracy"].agg(list)
    return {"n": int(table["n"].max())} | accuracies.to_dict()


def command(run: Run, parameters: dict) -> str:
    """Return what makes the run's weights by hand; of a folder elsewhere, as if it were the study's own."""
    root = run.layout.root if not run.layout.root.is_absolute() else Path("studies") / run.layout.root.name
    words = run.train_command(root)
    if not (averaged := parameters.get("averaged")):
        return words
    both = shlex.join([f"{root}/runs/{run.name}/{run.fold}.{run.seed}", averaged["run"]])
    words += f" && python workflow/scripts/average.py {both} --share {averaged['share']:g}"
    words += f" --crop {crop}" if (crop := parameters["recipe"]["test_time_crop"]) else ""
    return f"{words} --root {shlex.quote(str(root))} --output averaged"


def alike(name: str, runs: list[Run], summaries: list[dict]) -> dict:
    """Return the parameters that the runs of an experiment were trained with, all with the same."""
    found = [shared(summary["parameters"]) for summary in summaries]
    for run, other in zip(runs, found, strict=True):
        if other != found[0]:
            raise FerError(
                f"{run.folder} was trained with other parameters than {runs[0].folder} "
                f"({differing(found[0], other)}): the two are not runs of one experiment, {name}"
            )
    return found[0]


def shared(parameters: dict) -> dict:
    """Return parameters.json without what differs between the runs of an experiment, or depends on the processor.

    Keys of the recipe that an older version did not know have the value that they had then: their default.
    """
    kept = {key: value for key, value in parameters.items() if key not in OF_ONE_RUN}
    return kept | {"recipe": budget.recorded_recipe(kept).model_dump(mode="json", exclude={"precision"})}


def differing(first: dict, second: dict, prefix: str = "") -> str:
    """Return in words the keys in which two sets of parameters differ, with both values."""
    found = []
    for key in sorted(first.keys() | second.keys()):
        one, other = first.get(key), second.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            found += [differing(one, other, f"{prefix}{key}.")] if one != other else []
        elif one != other:
            found.append(f"{prefix}{key} {one} and {other}")
    return examples(found)
