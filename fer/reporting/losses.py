"""What an accuracy must be read with: images without a face, test images with a copy in train, idle networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fer.leakage import leaked_test
from fer.runs import MODALITIES, Run
from fer.storage import read_json


@dataclass(frozen=True)
class Losses:
    """Of one experiment: `without_face`, the share of its dataset's images in which no face was found, in [0, 1].

    `copies`: the share of test images with an exact or near duplicate in train of their fold, in [0, 1], and
    `without_copies`: the accuracy on the others, None where there are none; both None where variants of the training
    images are tested by design. `unlearned`: how many of the `runs` answer only one class, or were no better on
    validation than the largest class's share.
    """

    without_face: float
    copies: float | None
    without_copies: float | None
    unlearned: int
    runs: int

    def copied(self) -> str:
        """Return the cell of a table: the share in percent and, where it is above zero, the accuracy on the others."""
        if self.copies is None:
            return "variants"
        if not self.copies:
            return "0.0"
        rest = "none" if self.without_copies is None else f"{100 * self.without_copies:.2f}"
        return f"{100 * self.copies:.1f} ({rest} without)"

    def idle(self) -> str:
        """Return in words how many runs never learned, or nothing."""
        if not self.unlearned:
            return ""
        return "never learned" if self.runs == 1 else f"{self.unlearned} of {self.runs} runs never learned"


def measure(run: Run, predictions: pd.DataFrame, idle: list[bool]) -> Losses:
    """Return the losses of one experiment.

    Args:
        run: its first.
        predictions: one row per test sample, with columns sample, partner, label, predicted, fold and seed.
        idle: for each run, whether it never learned.
    """
    correct = predictions["label"] == predictions["predicted"]
    copied = copies(run, predictions)
    variants = run.experiment.augment_before_split
    rest = correct[~copied]
    return Losses(
        without_face=without_face(run),
        copies=None if variants else float(copied.mean()),
        without_copies=None if variants or not len(rest) else float(rest.mean()),
        unlearned=sum(idle),
        runs=len(idle),
    )


def without_face(run: Run) -> float:
    """Return the share of the dataset's images, of the modalities that the run sees, in which no face was found."""
    counts = read_json(run.layout.faces_counts(run.experiment.dataset))["modalities"]
    seen = [counts[name] for name in MODALITIES[run.experiment.modality] if name in counts]
    samples, detected = (sum(sum(outcomes[key]) for outcomes in seen) for key in ("samples", "detected"))
    return 1 - detected / samples if samples else 0.0


def copies(run: Run, predictions: pd.DataFrame) -> np.ndarray:
    """Return whether train of its fold holds a duplicate of each row of `predictions`, bool (rows,).

    The images of a pair, visible and infrared, are both copies if one is: only exact copies are known among infrared
    images.
    """
    experiment = run.experiment
    audit = read_json(run.layout.audit(experiment.dataset, experiment.protocol))
    if "kept" in audit:  # the duplicates of test were removed from train
        return np.zeros(len(predictions), bool)
    result, images = np.zeros(len(predictions), bool), predictions[["sample", "partner"]].to_numpy()
    for fold, of_fold in predictions.groupby("fold").indices.items():
        result[of_fold] = np.isin(images[of_fold], leaked_test(audit["folds"][fold])).any(axis=1)
    return result
