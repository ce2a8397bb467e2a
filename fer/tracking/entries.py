"""MLflow's entries for a run, and for an experiment over all its folds and seeds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import pandas as pd

from fer import layout
from fer.checkout import owner
from fer.params.system import flat
from fer.runs import Run
from fer.storage import file_sha256, read_csv, read_json
from fer.wording import counted

KEY, DIGEST, STATE, OWNER, ROOT = "fer.key", "fer.digest", "fer.state", "fer.owner", "fer.root"
PARENT, NOTE = "mlflow.parentRunId", "mlflow.note.content"
# Of a run's folder, what MLflow holds, too. Weights are named by path and hash: DVC keeps them.
ARTIFACTS = (
    layout.HISTORY,
    layout.PARAMETERS,
    layout.ENVIRONMENT,
    layout.PREDICTIONS,
    layout.METRICS,
    layout.CONFUSION,
    layout.SUMMARY,
)
FILES = (layout.WEIGHTS, *ARTIFACTS)  # of a run that is finished


def key(run: Run) -> str:
    """Return the key of a run among those of its checkout and study."""
    return f"{run.name}/{run.fold}.{run.seed}"


def title(run: Run) -> str:
    """Return an experiment's title among others on its dataset: its system, and what is special about it."""
    experiment = run.experiment
    special = [experiment.modality] if experiment.modality != "visible" else []
    special += [experiment.views] if experiment.views != "face" else []
    special += [f"from {layout.model_name(Path(start))}"] if (start := run.recipe.start_from) else []
    return " · ".join([experiment.system, *special, *([experiment.change] if experiment.change else [])])


def tags(run: Run, state: str) -> dict[str, str]:
    """Return the tags of a run in a state: current, or live."""
    name = f"{title(run)} · fold {run.fold} · seed {run.seed}" + (" (live)" if state == "live" else "")
    return {KEY: key(run), "mlflow.runName": name, "fold": run.fold, "seed": str(run.seed)} | shared_tags(run, state)


def shared_tags(run: Run, state: str) -> dict[str, str]:
    """Return the tags that a run has in common with its experiment."""
    root = run.layout.root
    return {
        OWNER: owner().name,
        ROOT: str(root),
        STATE: state,
        "checkout": Path.cwd().name,
        "study": "default" if root == Path() else root.name,
        "experiment": run.name,
        **{name: getattr(run.experiment, name) for name in ("dataset", "system", "modality", "protocol", "kind")},
        "variant_of": run.experiment.variant_of or "",
    }


def having(tags: dict[str, str]) -> str:
    """Return the condition by which MLflow finds the runs that have all these tags."""
    return " AND ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())


def run_tags(tags: dict[str, str]) -> list:
    """Return tags as MLflow's client takes them in a batch."""
    from mlflow.entities import RunTag

    return [RunTag(*tag) for tag in tags.items()]


def as_parameters(values: dict) -> list:
    """Return nested values as MLflow parameters, their names joined by dots."""
    from mlflow.entities import Param

    return [Param(name, str(value)) for name, value in flat(values)]


def history_metrics(history: Iterable[dict], when: datetime) -> list:
    """Return a training history as MLflow metrics whose step is the epoch."""
    from mlflow.entities import Metric

    stamp = int(when.timestamp() * 1000)
    return [
        Metric(name, float(value), stamp, int(row["epoch"]))
        for row in history
        for name, value in row.items()
        if name != "epoch"
    ]


def single_metrics(values: dict, when: datetime) -> list:
    """Return the numbers among values as metrics with one value each."""
    from mlflow.entities import Metric

    stamp = int(when.timestamp() * 1000)
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    return [Metric(name, float(value), stamp, 0) for name, value in numbers.items() if value == value]


def folder_digest(run: Run) -> str:
    """Return a digest of the files of a run that MLflow shows; equal digests need no new MLflow run."""
    return digest([file_sha256(run.folder / name) for name in FILES])


def digest(parts: Iterable[str]) -> str:
    """Return the SHA-256 of texts, joined."""
    return hashlib.sha256("".join(parts).encode()).hexdigest()


# --- a run ----------------------------------------------------------------------------------------------------------


def source_tags(run: Run) -> dict[str, str]:
    """Return what made a run: command, commit, data, machine; and where its weights lie."""
    parameters, machine = read_json(run.folder / layout.PARAMETERS), read_json(run.folder / layout.ENVIRONMENT)
    weights = run.folder / layout.WEIGHTS
    return {
        "mlflow.source.name": f"fer train {run.name} --fold {run.fold} --seed {run.seed}",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": machine["commit"] or "unknown",
        "weights.path": str(weights),
        "weights.sha256": file_sha256(weights),
        **{f"data.{name}.sha256": str(value) for name, value in parameters["data"].items()},
        **{f"environment.{name}": str(value) for name, value in flat(machine)},
    }


def measured(run: Run) -> dict:
    """Return the numbers of a run: on test, what it cost, how long it took."""
    figures = {f"test_{name}": value for name, value in read_json(run.folder / layout.METRICS).items()}
    found = read_json(run.folder / layout.SUMMARY)
    return figures | found["cost"] | {"train_seconds": found["environment"]["seconds"]}


def dataset_input(run: Run):
    """Return the run's dataset as MLflow's own entity: name, digest of all files that were read, source, split."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    hashes = read_json(run.folder / layout.PARAMETERS)["data"]
    drawn = is_drawn(run)
    raw = str(run.layout.raw(run.experiment.dataset))
    source = {"uri": raw, "title": run.dataset.title, "drawn": drawn}
    profile = {"split": run.experiment.protocol, "fold": run.fold, "classes": len(run.dataset.classes)}
    entity = Dataset(
        name=run.experiment.dataset,
        digest=digest(f"{name}{value}" for name, value in sorted(hashes.items()))[:16],
        source_type="local",
        source=json.dumps(source),
        profile=json.dumps(profile),
    )
    return DatasetInput(entity, [InputTag("mlflow.data.context", f"{run.experiment.protocol}, fold {run.fold}")])


def is_drawn(run: Run) -> bool:
    """Return whether the run's faces are synthetic, as recorded with the data; false if these are missing."""
    counts = run.layout.counts(run.experiment.dataset)
    return counts.exists() and read_json(counts)["synthetic"]


# --- an experiment --------------------------------------------------------------------------------------------------


def summary(runs: list[Run]) -> dict:
    """Return the row of the results table that an experiment has: what the report says, nothing is computed again."""
    table = runs[0].layout.reports() / "results.csv"
    rows = read_csv(table) if table.exists() else pd.DataFrame({"experiment": []})
    rows = rows[rows["experiment"] == runs[0].name]
    return {} if rows.empty else {name: value for name, value in rows.iloc[0].items() if not pd.isna(value)}


def experiment_metrics(runs: list[Run]) -> dict[str, float]:
    """Return mean, deviation and interval of an experiment, and its budget beside the published recipe's."""
    row = {name: value.item() if hasattr(value, "item") else value for name, value in summary(runs).items()}
    trained = [len(read_csv(run.folder / layout.HISTORY)) for run in runs]
    values = {name: value for name, value in row.items() if isinstance(value, int | float)}
    values |= {"epochs_trained": sum(trained) / len(trained), "runs": len(runs)}
    if "accuracy_mean" in values:
        values["test_accuracy"] = values["accuracy_mean"]  # in one column with the runs' own
    return values


def mean_history(runs: list[Run]) -> list[dict]:
    """Return the means over an experiment's runs of each epoch that all of them trained, a row per epoch."""
    histories = pd.concat([read_csv(run.folder / layout.HISTORY) for run in runs])
    epochs = histories.groupby("epoch")
    return epochs.mean()[epochs.size() == len(runs)].reset_index().to_dict("records")


def note(runs: list[Run]) -> str:
    """Return the description of an experiment (Markdown): what was published, how ours differs, where to read more."""
    run = runs[0]
    experiment = run.experiment
    lines = [f"**{run.system.title}** on {run.dataset.title}, {experiment.protocol}, {counted(len(runs), 'run')}.", ""]
    lines += [f"Set beside `{experiment.variant_of}`: {experiment.change}.", ""] if experiment.variant_of else []
    lines += [experiment.published.withheld if is_drawn(run) else experiment.published.sentence, ""]
    if run.overrides:
        lines += ["The study changes: " + ", ".join(f"{name} = {value}" for name, value in run.overrides.items()), ""]
    deviations = [*run.system.deviations, *experiment.deviations]
    lines += ["Where ours departs:", "", *(f"- {item}" for item in deviations), ""] if deviations else []
    page = run.layout.reports() / "index.html"
    return "\n".join([*lines, f"In the report: `{page}#{run.name}`"])


def figures(run: Run) -> list[Path]:
    """Return the existing report figures of the run's experiment (all its folds and seeds)."""
    own = [*run.layout.figures(run.name).glob("*.png"), run.layout.figure(run.name, "explain")]
    return sorted(figure for figure in own if figure.exists())
