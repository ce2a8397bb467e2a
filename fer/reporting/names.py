"""What a report consists of, by name: the DAG lists its files before there is anything to report."""

from __future__ import annotations

from fer import params
from fer.params import Study

FORMS = ("md", "tex", "csv")  # of a table
FIGURES = ("confusion", "curves", "reliability")  # of an experiment


def datasets(study: Study) -> list[str]:
    """Return the datasets of the study's experiments, in their order."""
    return list(dict.fromkeys(params.load_experiment(name).dataset for name in study.experiments))


def systems(study: Study) -> list[str]:
    """Return the systems of the study's experiments, in their order."""
    return list(dict.fromkeys(params.load_experiment(name).system for name in study.experiments))


def tables(study: Study) -> list[str]:
    """Return the names of the tables beside the overview: `reports/tables/<name>.md`, `.tex` and `.csv`."""
    if not study.experiments:
        return []
    return [
        "autopsy",
        "ablations",
        "significance",
        *(["cross_dataset"] if study.cross_dataset else []),
        *(["external"] if study.external else []),
        "robustness",
        "cost",
        *(f"dataset-{name}" for name in datasets(study)),
        *(f"system-{name}" for name in systems(study)),
    ]


def drawn(study: Study) -> list[str]:
    """Return the experiments whose figures are drawn: the sound ones; a variant has only its rows in the tables."""
    return [name for name in study.experiments if params.load_experiment(name).kind == "sound"]
