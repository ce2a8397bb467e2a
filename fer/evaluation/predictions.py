"""Predictions of a test part as a table, one row per sample, and summaries of the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fer.evaluation.intervals import accuracy_interval
from fer.storage import read_frame


def clusters_of(index: Path, samples: np.ndarray) -> np.ndarray:
    """Return what each sample shares with others: its subject, else its sequence, else its own number.

    The kind is part of the name, as in "subject:2", which has nothing to do with "sample:2".
    """
    table = read_frame(index, ["sample", "subject", "sequence"]).iloc[samples].astype("string")
    names = ("subject:" + table["subject"]).fillna("sequence:" + table["sequence"]).fillna("sample:" + table["sample"])
    return names.to_numpy(str)


def evenly_spaced(number: int, most: int) -> np.ndarray:
    """Return at most `most` of the rows 0, 1, …, `number` - 1 at even spacing, int: those that are corrupted."""
    return np.linspace(0, number - 1, min(number, most)).round().astype(int)


def predictions(
    samples: np.ndarray, clusters: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, classes: list[str]
) -> pd.DataFrame:
    """Return one row per sample: cluster, label, predicted class and every probability."""
    table = pd.DataFrame({"sample": samples, "cluster": clusters, "label": labels})
    table["predicted"] = probabilities.argmax(1)
    for code, name in enumerate(classes):
        table[f"p_{name}"] = probabilities[:, code]
    return table


def accuracy_line(what: str, figures: dict) -> str:
    """Return the accuracy in `figures`, those of `metrics` and `interval_of`, as the terminal shows it."""
    low, high = figures["interval"]["accuracy"]
    return f"{what} {figures['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%}, n = {figures['n']:,})"


def interval_of(table: pd.DataFrame) -> dict:
    """Return what metrics.json says of the interval of the accuracy."""
    found = accuracy_interval(table["label"] == table["predicted"], table["cluster"])
    return {
        "interval": {"accuracy": [found.low, found.high], "method": found.method, "clusters": found.clusters},
    }
