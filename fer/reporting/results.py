"""What a study measured, gathered from its run folders: one `Result` an experiment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from fer import layout
from fer.evaluation.metrics import bootstrap_interval, metrics
from fer.params import Study
from fer.runs import Run, study_runs
from fer.storage import read_json, require


@dataclass(frozen=True)
class Result:
    """One experiment of a study with all its runs, folds × seeds."""

    runs: list[Run]

    @cached_property
    def synthetic(self) -> bool:
        """Whether the faces were drawn, as the data themselves say."""
        return read_json(self.first.layout.counts(self.first.experiment.dataset))["synthetic"]

    @property
    def first(self) -> Run:
        return self.runs[0]

    @property
    def name(self) -> str:
        return self.first.name

    @property
    def seeds(self) -> list[int]:
        return sorted({run.seed for run in self.runs})

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row a test sample and seed, all folds together."""
        tables = [
            pd.read_parquet(require(run.folder / layout.PREDICTIONS)).assign(fold=run.fold, seed=run.seed)
            for run in self.runs
        ]
        return pd.concat(tables, ignore_index=True)

    @cached_property
    def by_seed(self) -> list[dict]:
        """The metrics of each seed over all its folds."""
        classes = self.first.dataset.classes
        columns = [f"p_{name}" for name in classes]
        return [
            metrics(rows["label"].to_numpy(), rows[columns].to_numpy(), classes)
            for _, rows in self.predictions.groupby("seed")
        ]

    @property
    def n(self) -> int:
        return self.by_seed[0]["n"]

    def values(self, metric: str) -> np.ndarray:
        return np.array([figures[metric] for figures in self.by_seed])

    def mean(self, metric: str) -> float:
        return float(self.values(metric).mean())

    def std(self, metric: str) -> float | None:
        """Return the sample standard deviation over seeds, or None with a single seed."""
        values = self.values(metric)
        return float(values.std(ddof=1)) if len(values) > 1 else None

    @cached_property
    def interval(self) -> list[float]:
        """The 95 % bootstrap interval, over subjects or test samples, of the accuracy averaged over seeds."""
        rows = self.predictions.assign(correct=self.predictions["label"] == self.predictions["predicted"])
        samples = rows.groupby(["fold", "sample"]).agg({"correct": "mean", "cluster": "first"})
        return bootstrap_interval(samples["correct"].to_numpy(), samples["cluster"].to_numpy(str))

    @cached_property
    def confusion(self) -> np.ndarray:
        """Counts (true, predicted) summed over folds and seeds."""
        return np.sum([figures["confusion_matrix"] for figures in self.by_seed], axis=0)

    @cached_property
    def per_class(self) -> pd.DataFrame:
        """Precision, recall, F1 (means over seeds) and n of each class."""
        tables = [pd.DataFrame(figures["per_class"]).T for figures in self.by_seed]
        return sum(tables[1:], tables[0]) / len(tables)

    @cached_property
    def cost(self) -> dict:
        """Parameters and FLOPs, and the median of the milliseconds measured in each run."""
        costs = [read_json(run.folder / layout.COST) for run in self.runs]
        return costs[0] | {"milliseconds": float(np.median([cost["milliseconds"] for cost in costs]))}

    @cached_property
    def environments(self) -> list[dict]:
        return [read_json(run.folder / layout.ENVIRONMENT) for run in self.runs]

    @cached_property
    def parameters(self) -> dict:
        """The resolved parameters of the first run, with the hashes of its data."""
        return read_json(self.first.folder / layout.PARAMETERS)

    def accuracy(self, run: Run) -> float:
        return read_json(run.folder / layout.METRICS)["accuracy"]

    def histories(self) -> list[pd.DataFrame]:
        return [pd.read_csv(require(run.folder / layout.HISTORY)) for run in self.runs]

    @property
    def deviations(self) -> list[str]:
        return [*self.first.system.deviations, *self.first.experiment.deviations]


def collect(study: Study) -> list[Result]:
    """Return the results of a study in the order of its experiments."""
    runs = study_runs(study)
    return [Result([run for run in runs if run.name == name]) for name in study.experiments]
