"""What an accuracy must be read with: images without a face, test images with a copy in train, idle networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fer.leakage import leaked_test
from fer.runs import MODALITIES, Run
from fer.storage import read_frame, read_json


@dataclass(frozen=True)
class Losses:
    """Of one experiment: `without_face`, the share of its dataset's images in which no face was found, in [0, 1].

    `copies`: the share of test images with an exact or near duplicate in train of their fold, in [0, 1], and
    `without_copies`: the accuracy on the others, None where there are none; both None where variants of the training
    images are tested by design. `unlearned`: how many of the `runs` answer one class alone, or were no better on
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


def measure(runs: list[Run], predictions: pd.DataFrame, histories: list[pd.DataFrame], recipe: dict) -> Losses:
    """Return the losses of the runs of one experiment.

    Args:
        predictions: one row a test sample, with columns sample, label, predicted, fold and seed.
        histories: what each run wrote of its epochs.
        recipe: as the runs were trained.
    """
    run, correct = runs[0], predictions["label"] == predictions["predicted"]
    copied = copies(run, predictions)
    variants = run.experiment.augment_before_split
    rest = correct[~copied]
    unlearned = sum(
        idle(run, rows(predictions, run), history, recipe) for run, history in zip(runs, histories, strict=True)
    )
    return Losses(
        without_face=without_face(run),
        copies=None if variants else float(copied.mean()),
        without_copies=None if variants or not len(rest) else float(rest.mean()),
        unlearned=unlearned,
        runs=len(runs),
    )


def rows(predictions: pd.DataFrame, run: Run) -> pd.DataFrame:
    return predictions[(predictions["fold"] == run.fold) & (predictions["seed"] == run.seed)]


def without_face(run: Run) -> float:
    """Return the share of the dataset's images, of the modalities that the run sees, in which no face was found."""
    counts = read_json(run.layout.faces_counts(run.experiment.dataset))["modalities"]
    seen = [counts[name] for name in MODALITIES[run.experiment.modality] if name in counts]
    samples, detected = (sum(sum(outcomes[key]) for outcomes in seen) for key in ("samples", "detected"))
    return 1 - detected / samples if samples else 0.0


def copies(run: Run, predictions: pd.DataFrame) -> np.ndarray:
    """Tell of each row of `predictions` whether train of its fold holds a duplicate, bool (rows,).

    Of a pair, visible and infrared, the one is a copy where the other is: duplicates are looked for among the visible.
    """
    experiment = run.experiment
    audit = read_json(run.layout.audit(experiment.dataset, experiment.protocol))
    if "kept" in audit:  # the duplicates of test were removed from train
        return np.zeros(len(predictions), bool)
    number = pair_numbers(run)
    leaked = {fold: number.loc[leaked_test(found)] for fold, found in audit["folds"].items()}
    samples = number.loc[predictions["sample"]].to_numpy()
    result = np.zeros(len(predictions), bool)
    for fold, of_fold in predictions.groupby("fold").indices.items():
        result[of_fold] = np.isin(samples[of_fold], leaked[fold])
    return result


def pair_numbers(run: Run) -> pd.Series:
    """Return of each sample of the run's dataset, its index, a number that it shares with the partner of its pair."""
    index = read_frame(run.data["index"], ["sample", "pair"]).set_index("sample")
    own = index.index.to_series()
    return own.groupby(index["pair"]).transform("min").fillna(own).astype(int)


def idle(run: Run, predictions: pd.DataFrame, history: pd.DataFrame, recipe: dict) -> bool:
    """Tell whether a run never learned: one answer for all, or on validation no better than the largest class."""
    if predictions["predicted"].nunique() == 1 < predictions["label"].nunique():
        return True
    return bool(kept(history, recipe["keep"])["val_accuracy"] <= largest_share(run, recipe["choose_epoch_on"]) + 1e-9)


def largest_share(run: Run, part: str) -> float:
    """Return the share of the largest class among the images of one part of the run's fold, in [0, 1]."""
    split = read_frame(run.data["split"])
    samples = split.loc[(split["fold"] == run.fold) & (split["part"] == part), "sample"]
    index = read_frame(run.data["index"], ["label", "modality"]).iloc[samples]
    labels = index.loc[index["modality"] == MODALITIES[run.experiment.modality][0], "label"]
    return float(labels.value_counts(normalize=True).max())


def kept(history: pd.DataFrame, keep: str) -> pd.Series:
    """Return the row of the epoch whose weights were kept: the last, or the first of best validation accuracy."""
    return history.iloc[-1] if keep == "last" else history.loc[history["val_accuracy"].idxmax()]
