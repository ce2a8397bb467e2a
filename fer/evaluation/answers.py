"""The predictions of one system on the test images of one experiment, all folds and seeds, and what they score."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from fer.evaluation.intervals import Interval, accuracy_interval
from fer.evaluation.metrics import metrics


def interval_over_seeds(rows: pd.DataFrame, sample: str | list[str], correct: str = "correct") -> Interval:
    """Return the interval of an accuracy averaged over seeds: of each sample, the share of the seeds that are right.

    `rows` has one row per sample and seed: the columns `sample`, which tell the samples apart, the one that `correct`
    names, and `cluster`.
    """
    samples = rows.groupby(sample).agg({correct: "mean", "cluster": "first"})
    return accuracy_interval(samples[correct].to_numpy(float), samples["cluster"].to_numpy(str))


class Scores:
    """Figures of one system's predictions; where there are several seeds, their means.

    A subclass has `predictions`, one row per test image, fold and seed (columns fold, seed, sample, cluster, label and
    predicted), and `by_seed`, the metrics of each seed over all its folds (`fer.evaluation.metrics`).
    """

    predictions: pd.DataFrame
    by_seed: list[dict]

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
    def interval(self) -> Interval:
        """The 95 % interval of the accuracy averaged over seeds, with its method and the number of clusters."""
        rows = self.predictions.assign(correct=self.predictions["label"] == self.predictions["predicted"])
        rows["image"] = rows.groupby(["fold", "seed", "sample"]).cumcount()  # several if a sample's variants are tested
        return interval_over_seeds(rows, ["fold", "sample", "image"])

    @property
    def majority(self) -> float:
        """The accuracy of always answering the test part's most frequent class, in [0, 1]."""
        return float(self.predictions["label"].value_counts(normalize=True).iloc[0])

    def unrounded(self) -> dict:
        """Return the accuracy, with what it must be read with, as the CSV files have it; fractions lie in [0, 1]."""
        return {
            "accuracy_mean": self.mean("accuracy"),
            "accuracy_std": self.std("accuracy"),
            "accuracy_low": self.interval.low,
            "accuracy_high": self.interval.high,
            "interval_method": self.interval.method,
            "n_test": self.n,
            "clusters": self.interval.clusters,
            "majority": self.majority,
        }

    @cached_property
    def per_class(self) -> pd.DataFrame:
        """Precision, recall, F1 (means over seeds) and n of each class."""
        tables = [pd.DataFrame(figures["per_class"]).T for figures in self.by_seed]
        return sum(tables[1:], tables[0]) / len(tables)


@dataclass(frozen=True)
class Answers(Scores):
    """Predictions of one system, and the figures of them.

    Args:
        predictions: one row per test image, fold and seed, with columns fold, seed, sample (row of the dataset's
            index), cluster (what the sample shares with others), label and predicted (class codes) and `p_<class>`,
            probabilities in [0, 1].
        classes: names in the order of their codes.
    """

    predictions: pd.DataFrame
    classes: list[str]

    @property
    def seeds(self) -> list[int]:
        """The seeds of the predictions, in ascending order."""
        return sorted(self.predictions["seed"].unique().tolist())

    @cached_property
    def by_seed(self) -> list[dict]:
        """The metrics of each seed over all its folds."""
        columns = [f"p_{name}" for name in self.classes]
        return [
            metrics(rows["label"].to_numpy(np.int64), rows[columns].to_numpy(np.float64), self.classes)
            for _, rows in self.predictions.groupby("seed")
        ]
