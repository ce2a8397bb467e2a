"""The whole report as data, `reports/results.json`, from which its page, Markdown and cards are made."""

from __future__ import annotations

import os

from fer import params
from fer.params import Study
from fer.reporting import comparison, names
from fer.reporting.data import DataSummary, collect_data
from fer.reporting.explained import explained
from fer.reporting.results import Result
from fer.reporting.tables import Table, cells


def document(study: Study, results: list[Result], overview: Table, others: dict[str, Table]) -> dict:
    """Return what the report says about a study, ready for JSON.

    Args:
        overview: the table of results.
        others: the other tables by name (see `fer.reporting.names.tables`).
    """
    data = collect_data(study)
    return {
        "study": {"name": study.name, "seeds": study.seeds},
        "synthetic": any(item.synthetic for item in (*results, *data)),
        "overview": overview.shown(),
        "tables": {name: table.shown() for name, table in others.items()},
        "shown": [name for name, table in others.items() if "-" not in name and len(table.frame)],
        "datasets": names.datasets(study),
        "systems": [of_system(name) for name in names.systems(study)],
        "data": [of_dataset(summary) for summary in data],
        "experiments": [of_experiment(result) for result in results],
    }


def of_system(name: str) -> dict:
    """Return what a page and a model card show of a system."""
    shown = params.load_system(name).model_dump(include={"title", "citation", "deviations", "limits"})
    return shown | {"name": name}


def of_dataset(summary: DataSummary) -> dict:
    """Return what a page shows of a dataset: counts, detections and leaks."""
    dataset = summary.dataset
    return {
        "name": summary.name,
        "title": dataset.title,
        "citation": dataset.citation,
        "synthetic": summary.synthetic,
        "kinds": summary.kinds,
        "counts": cells(summary.counts()),
        "left_out": summary.found["left_out"],
        "detector": dataset.alignment.detector,
        "missing": dataset.alignment.missing,
        "detections": cells(summary.detections()),
        "splits": [
            {"protocol": protocol, "leaks": leaks, "page": str(summary.audit_page(protocol))}
            for protocol, leaks in summary.leaks.items()
        ],
    }


def of_experiment(result: Result) -> dict:
    """Return what a page shows of an experiment."""
    experiment = result.first.experiment
    layout = result.first.layout
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
        "saliency": explained(layout, result.name) if result.kind == "sound" else None,
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
