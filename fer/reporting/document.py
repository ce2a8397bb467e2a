"""The whole report as data, `reports/results.json`, from which its page, Markdown and cards are made."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from fer import params
from fer.layout import Layout
from fer.params import Study
from fer.reporting import comparison, names
from fer.reporting.data import of_dataset
from fer.reporting.results import Result
from fer.reporting.tables import Table, cells
from fer.runs import study_protocols
from fer.storage import read_json


def document(study: Study, results: list[Result], overview: Table, others: dict[str, Table]) -> dict:
    """Return what the report says about a study, ready for JSON.

    Args:
        overview: the table of results.
        others: the other tables by name (see `fer.reporting.names.tables`).
    """
    layout = Layout(Path(study.root))
    data = [of_dataset(layout, name, protocols) for name, protocols in study_protocols(study).items()]
    return {
        "study": {"name": study.name, "seeds": study.seeds},
        "synthetic": any(result.synthetic for result in results) or any(summary["synthetic"] for summary in data),
        "overview": overview.shown(),
        "tables": {name: table.shown() for name, table in others.items()},
        "shown": [name for name, table in others.items() if "-" not in name and len(table.frame)],
        "datasets": names.datasets(study),
        "systems": [of_system(name) for name in names.systems(study)],
        "data": data,
        "experiments": [of_experiment(result) for result in results],
    }


def of_system(name: str) -> dict:
    """Return what a page and a model card show of a system."""
    shown = params.load_system(name).model_dump(include={"title", "citation", "deviations", "limits"})
    return shown | {"name": name}


def of_experiment(result: Result) -> dict:
    """Return what a page shows of an experiment."""
    experiment = result.experiment
    return {
        "name": result.name,
        "synthetic": result.synthetic,
        "kind": result.kind,
        "label": result.label,
        "dataset": result.dataset_title,
        "system": experiment.system,
        "row": result.variant,
        "protocol": experiment.protocol,
        "citation": result.first.system.citation,
        "change": experiment.change,
        "variant_of": experiment.variant_of,
        "publication": result.publication,
        "reading": result.reading,
        "accuracy": result.plus_minus("accuracy"),
        "interval": [result.interval.low, result.interval.high],
        "n": result.n,
        "clusters": result.clusters,
        "trained": result.trained,
        "without_face": result.losses.without_face,
        "copies": result.losses.copied(),
        "starts_from": result.starts_from,
        "worst_class": result.worst_class,
        "per_class": cells(comparison.per_class(result)),
        "saliency": explained(result.first.layout, result.name) if result.kind == "sound" else None,
        "deviations": result.deviations,
        "runs": of_runs(result),
        "command": result.command(result.first),
        "parameters": result.parameters,
    }


def of_runs(result: Result) -> list[dict]:
    """Return where and how each run was trained, and its accuracy; `link` leads from the page to its folder."""
    reports = result.first.layout.reports()
    return [
        {
            "seed": run.seed,
            "fold": run.fold,
            "accuracy": accuracy,
            "folder": str(run.folder),
            "link": os.path.relpath(run.folder, reports),
            **{key: machine[key] for key in ("commit", "torch", "device", "processor", "seconds")},
        }
        for run, machine, accuracy in zip(result.runs, result.environments, result.accuracies(), strict=True)
    ]


def explained(layout: Layout, experiment: str) -> dict:
    """Return what a page shows of an explanation, from the file that explain left, ready for JSON.

    `table`: one row per method; no rows where no sample was classified correctly. `fold`, `seed`: of the run that was
    explained. `scored`: the samples that the scores are of. `remarks`: sentences.
    """
    found = read_json(layout.explanation(experiment))
    shown = {key: found[key] for key in ("fold", "seed", "scored", "remarks")}
    return shown | {"table": cells(scores_table(found["scores"]))}


def scores_table(scores: list[dict]) -> pd.DataFrame:
    """Return one row per method: areas under the curves in percent, 95 % intervals, and the gain on a random map."""
    rows = []
    for method in scores:
        row = {"map": method["name"], "clusters": f"{method['clusters']:,}"}
        for kind, better in (("deletion", "↓"), ("insertion", "↑")):
            entry = method[kind]
            row[f"{kind} {better} %"] = f"{100 * entry['mean']:.1f}"
            row[f"{kind}, 95 %"] = bounds(entry["interval"])
            row[f"{kind} − random"] = (
                f"{100 * entry['above_random']:+.1f} ({bounds(entry['above_random_interval'])})"
                if "above_random" in entry
                else "–"
            ).replace("-", "−")
        rows.append(row)
    return pd.DataFrame(rows)


def bounds(interval: list[float]) -> str:
    """Return the bounds of an interval in percent, in words."""
    return " to ".join(f"{100 * bound:.1f}" for bound in interval).replace("-", "−")
