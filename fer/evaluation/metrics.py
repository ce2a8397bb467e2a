"""Figures of merit of one set of predictions, and their 95 % intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

BOOTSTRAPS = 2000
ECE_BINS = 15


def metrics(
    labels: np.ndarray, probabilities: np.ndarray, classes: list[str], clusters: np.ndarray | None = None
) -> dict:
    """Return accuracy, balanced accuracy, precision, recall, F1, calibration and intervals, ready for JSON.

    Args:
        labels: int (n,), true class codes.
        probabilities: float (n, classes), rows summing to 1.
        classes: class names in the order of their codes.
        clusters: (n,) what is drawn together by the bootstrap (see `bootstrap_interval`).

    All figures lie in [0, 1]. Balanced accuracy and the macro averages go over the classes that occur in `labels`.
    """
    predicted = probabilities.argmax(1)
    matrix = confusion(labels, predicted, len(classes))
    support, present = matrix.sum(1), matrix.any(1)
    precision = share(matrix.diagonal(), matrix.sum(0))
    recall = share(matrix.diagonal(), support)
    f1 = share(2 * matrix.diagonal(), support + matrix.sum(0))
    result = {
        "n": len(labels),
        "accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": float(recall[present].mean()),
        "ece": expected_calibration_error(labels, probabilities),
        "confusion_matrix": matrix.tolist(),
        "per_class": {
            name: {
                "precision": float(precision[code]),
                "recall": float(recall[code]),
                "f1": float(f1[code]),
                "n": int(support[code]),
            }
            for code, name in enumerate(classes)
        },
        "interval": {
            "accuracy": bootstrap_interval(predicted == labels, clusters),
        },
    }
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        result[f"macro_{name}"] = float(values[present].mean())
        result[f"weighted_{name}"] = float(np.average(values, weights=support))
    return result


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return how often each class (row) was answered by each class (column), int (classes, classes).

    Written out because scikit-learn's import takes a second, which every job of a study would wait for.
    """
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, and 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


def bootstrap_interval(correct: np.ndarray, clusters: np.ndarray | None = None, seed: int = 0) -> list[float]:
    """Return the 95 % percentile bootstrap interval of the mean of `correct` over samples.

    Args:
        correct: (n,) bool, or float where several runs are averaged sample by sample.
        clusters: (n,) names; samples of one cluster are drawn together, since the images of one person or sequence are
            no independent evidence (Field and Welsh, Bootstrapping clustered data, JRSS B 69, 2007). None: each alone,
            and so it is where all are one cluster: the interval then holds for this one person.
    """
    generator = np.random.default_rng(seed)
    values = np.asarray(correct, dtype=float)
    codes = np.arange(len(values)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    if not codes.any():
        codes = np.arange(len(values))
    sums, sizes = np.bincount(codes, values), np.bincount(codes)
    draws = (generator.integers(0, len(sums), len(sums)) for _ in range(BOOTSTRAPS))
    means = [sums[draw].sum() / sizes[draw].sum() for draw in draws]
    return [float(bound) for bound in np.percentile(means, [2.5, 97.5])]


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = ECE_BINS) -> float:
    """Return the mean gap between confidence and accuracy over equal-width bins (Guo et al., ICML 2017, eq. 3)."""
    table = reliability(labels, probabilities, bins)
    return float((table["n"] * (table["confidence"] - table["accuracy"]).abs()).sum() / len(labels))


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = ECE_BINS) -> pd.DataFrame:
    """Return how often predictions are right, by how sure they are: the reliability diagram (Guo et al., figure 1).

    One row for each of `bins` equal widths of the probability of the predicted class: `bin_low`, `bin_high`, the number
    `n` of samples in it, their mean `confidence` and their `accuracy`, both missing where n is 0. A bin holds its lower
    bound, the last one also 1. Arguments as those of `metrics`.
    """
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    number = np.bincount(bin_of, minlength=bins)
    sums = {"confidence": confidence, "accuracy": correct}
    means = {
        name: np.divide(
            np.bincount(bin_of, values, minlength=bins), number, out=np.full(bins, np.nan), where=number > 0
        )
        for name, values in sums.items()
    }
    bounds = np.arange(bins + 1) / bins
    return pd.DataFrame({"bin_low": bounds[:-1], "bin_high": bounds[1:], "n": number, **means})
