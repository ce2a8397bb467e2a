"""What a system answered on the test images of one experiment, all folds and seeds, and the figures of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from fer.evaluation.intervals import Interval, accuracy_interval
from fer.evaluation.metrics import metrics


@dataclass(frozen=True)
class Answers:
    """Predictions of one system, and the figures of them.

    Args:
        table: one row a test image, fold and seed, with columns fold, seed, sample (row of the dataset's index),
            cluster (what the sample shares with others), label and predicted (class codes) and `p_<class>`,
            probabilities in [0, 1].
        classes: names in the order of their codes.
    """

    table: pd.DataFrame
    classes: list[str]

    @property
    def seeds(self) -> list[int]:
        """The seeds in the table, in ascending order."""
        return sorted(self.table["seed"].unique().tolist())

    @cached_property
    def by_seed(self) -> list[dict]:
        """The metrics of each seed over all its folds."""
        columns = [f"p_{name}" for name in self.classes]
        return [
            metrics(rows["label"].to_numpy(np.int64), rows[columns].to_numpy(np.float64), self.classes)
            for _, rows in self.table.groupby("seed")
        ]

    @property
    def n(self) -> int:
        """The number of test images of one seed, all folds together."""
        return self.by_seed[0]["n"]

    def values(self, metric: str) -> np.ndarray:
        """Return a metric of each seed over all its folds, float64 (seeds,)."""
        return np.array([figures[metric] for figures in self.by_seed])

    def mean(self, metric: str) -> float:
        """Return the mean of a metric over seeds."""
        return float(self.values(metric).mean())

    def std(self, metric: str) -> float | None:
        """Return the sample standard deviation over seeds, or None with a single seed."""
        values = self.values(metric)
        return float(values.std(ddof=1)) if len(values) > 1 else None

    def plus_minus(self, metric: str) -> str:
        """Return a figure in percent, with its deviation over seeds where there are several."""
        std = self.std(metric)
        return f"{100 * self.mean(metric):.2f}" + ("" if std is None else f" ± {100 * std:.2f}")

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row a test image of a fold: `correct`, the share of the seeds that are right, and its `cluster`.

        The rows are indexed by fold, sample and image: of one sample there are several where variants are tested, too.
        """
        rows = self.table.assign(correct=self.table["label"] == self.table["predicted"])
        rows["image"] = rows.groupby(["fold", "seed", "sample"]).cumcount()
        return rows.groupby(["fold", "sample", "image"]).agg({"correct": "mean", "cluster": "first"})

    @cached_property
    def interval(self) -> Interval:
        """The 95 % interval of the accuracy averaged over seeds, with its method and the number of clusters."""
        return accuracy_interval(self.samples["correct"].to_numpy(), self.samples["cluster"].to_numpy(str))

    @property
    def majority(self) -> float:
        """The accuracy of always answering the test part's most frequent class, in [0, 1]."""
        return float(self.table["label"].value_counts(normalize=True).iloc[0])

    @cached_property
    def per_class(self) -> pd.DataFrame:
        """Precision, recall, F1 (means over seeds) and n of each class."""
        tables = [pd.DataFrame(figures["per_class"]).T for figures in self.by_seed]
        return sum(tables[1:], tables[0]) / len(tables)
