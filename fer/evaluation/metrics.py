"""Figures of merit of one set of predictions; their intervals are in `fer.evaluation.intervals`.

All follow from two tables of sums, the confusion matrix and the bins of confidence, which are added over folds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

ECE_BINS = 15


def metrics(labels: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> dict:
    """Return accuracy, balanced accuracy, precision, recall, F1 and calibration, ready for JSON.

    Args:
        labels: int (n,), true class codes from 0 to classes - 1; n > 0.
        probabilities: float (n, classes), rows summing to 1. The predicted class is the most probable one, the first
            of equals.
        classes: class names in the order of their codes.

    Returns:
        `n`, the number of samples; `accuracy`; `balanced_accuracy`, the mean recall; `ece`, the expected calibration
        error (Guo et al., ICML 2017, equation 3, in 15 bins); `confusion_matrix`, counts by true class (row) and
        predicted class (column); `per_class`, the precision, recall, F1 and `n` of each class by its name;
        `macro_*` and `weighted_*`, the means of these over classes and over samples. All but the counts are fractions
        in [0, 1], as in scikit-learn with `zero_division=0`. Balanced accuracy and the macro averages go over the
        classes that occur in `labels`.

    Examples:
        >>> labels = np.array([0, 0, 1, 1])
        >>> probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])
        >>> found = metrics(labels, probabilities, ["sad", "happy"])
        >>> found["accuracy"], found["per_class"]["sad"]["recall"]
        (0.75, 0.5)
        >>> found["confusion_matrix"]
        [[1, 1], [0, 2]]
    """
    matrix = confusion(labels, probabilities.argmax(1), len(classes))
    return figures(matrix, confidence_bins(labels, probabilities), classes)


def figures(matrix: np.ndarray, bins: pd.DataFrame, classes: list[str]) -> dict:
    """Return what `metrics` does, from a confusion matrix and the bins of confidence (see `confidence_bins`)."""
    support, present = matrix.sum(1), matrix.any(1)
    precision = share(matrix.diagonal(), matrix.sum(0))
    recall = share(matrix.diagonal(), support)
    f1 = share(2 * matrix.diagonal(), support + matrix.sum(0))
    result = {
        "n": int(matrix.sum()),
        "accuracy": float(matrix.trace() / matrix.sum()),
        "balanced_accuracy": float(recall[present].mean()),
        "ece": calibration_error(bins),
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
    }
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        result[f"macro_{name}"] = float(values[present].mean())
        result[f"weighted_{name}"] = float(np.average(values, weights=support))
    return result


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return how often each class (row) was predicted as each class (column), int (classes, classes).

    Written out because importing scikit-learn takes a second, for which every job of a study would wait.
    """
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, and 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


def calibration_error(bins: pd.DataFrame) -> float:
    """Return the mean gap between confidence and accuracy, in [0, 1], of the sums that `confidence_bins` returns.

    The expected calibration error of Guo et al. (ICML 2017), equation 3.
    """
    return float((bins["confidence"] - bins["correct"]).abs().sum() / bins["n"].sum())


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = ECE_BINS) -> pd.DataFrame:
    """Return how often predictions are right, by how sure they are (see `diagram`). Arguments as for `metrics`."""
    return diagram(confidence_bins(labels, probabilities, bins))


def diagram(bins: pd.DataFrame) -> pd.DataFrame:
    """Return the reliability diagram (Guo et al., figure 1) of the sums that `confidence_bins` returns.

    One row per bin: `bin_low`, `bin_high`, the number `n` of samples in it, their mean
    `confidence` and their `accuracy`, both missing where n is 0.
    """
    bounds, n = np.arange(len(bins) + 1) / len(bins), bins["n"].where(bins["n"] > 0)
    means = {"confidence": bins["confidence"] / n, "accuracy": bins["correct"] / n}
    return pd.DataFrame({"bin_low": bounds[:-1], "bin_high": bounds[1:], "n": bins["n"], **means})


def confidence_bins(labels: np.ndarray, probabilities: np.ndarray, bins: int = ECE_BINS) -> pd.DataFrame:
    """Return sums over the samples by how sure the predictions are.

    One row for each of `bins` equal widths of the probability of the predicted class: the number `n` of samples in it,
    the sum of their `confidence`, and how many are `correct`. A bin includes its lower bound, the last one
    also 1. Arguments as for `metrics`.
    """
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    number, sums, right = (np.bincount(bin_of, values, bins) for values in (None, confidence, correct))
    return pd.DataFrame({"n": number, "confidence": sums, "correct": right.astype(int)})
