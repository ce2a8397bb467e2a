"""Everything that the report needs from one run, in one file: `summary.json`.

Tables, figures and pages are made from these files alone, so that they need not open every file of every run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fer import layout
from fer.runs import MODALITIES, Run, TrainedRun
from fer.storage import read_csv, read_frame, read_json

ANSWERS = ["sample", "partner", "cluster", "label", "predicted"]  # what is kept of each test image


def summary(
    run: Run | TrainedRun, predictions: pd.DataFrame, bins: pd.DataFrame, robustness: pd.DataFrame, cost: dict
) -> dict:
    """Return the summary of a trained and evaluated run, ready for JSON. Tables are lists by column.

    Args:
        predictions: see `fer.evaluation.predictions.predictions`.
        bins: sums by confidence, see `fer.evaluation.metrics.confidence_bins`.
        robustness: accuracies on corrupted images, see `fer.evaluation.robustness`.
        cost: see `fer.evaluation.cost`.

    Returns:
        the tables `answers` (one row per test image; see `partners` for that column), `bins`, `robustness` and
        `history`; `cost`; `never_learned`, whether nothing came of the training; `parameters` and `environment`, the
        contents of the files of these names. `evaluate` adds `synthetic`, whether the faces are drawn.
    """
    history, parameters = read_csv(run.folder / layout.HISTORY), read_json(run.folder / layout.PARAMETERS)
    answers = predictions.assign(partner=partners(run.data["index"])[predictions["sample"]])[ANSWERS]
    tables = {"answers": answers, "bins": bins, "robustness": robustness, "history": history}
    return {name: table.to_dict("list") for name, table in tables.items()} | {
        "cost": cost,
        "never_learned": never_learned(run, predictions, history, parameters["recipe"]),
        "parameters": parameters,
        "environment": read_json(run.folder / layout.ENVIRONMENT),
    }


def partners(index: Path) -> np.ndarray:
    """Return, for each sample of an index, the other image of its pair, visible or infrared, else itself: int (n,)."""
    table = read_frame(index, ["sample", "pair"])
    pairs = table.groupby("pair")["sample"]
    other = pairs.transform("min") + pairs.transform("max") - table["sample"]
    return other.fillna(table["sample"]).to_numpy(int)


def never_learned(run: Run | TrainedRun, predictions: pd.DataFrame, history: pd.DataFrame, recipe: dict) -> bool:
    """Return whether a run gives one answer for all, or does no better on validation than the largest class's share."""
    if predictions["predicted"].nunique() == 1 < predictions["label"].nunique():
        return True
    reached = kept_epoch(history, recipe["keep"])["val_accuracy"]
    return bool(reached <= largest_share(run, recipe["choose_epoch_on"]) + 1e-9)


def largest_share(run: Run | TrainedRun, part: str) -> float:
    """Return the share of the largest class among the images of one part of the run's fold, in [0, 1]."""
    split = read_frame(run.data["split"])
    samples = split.loc[(split["fold"] == run.fold) & (split["part"] == part), "sample"]
    index = read_frame(run.data["index"], ["label", "modality"]).iloc[samples]
    labels = index.loc[index["modality"] == MODALITIES[run.parameters.modality][0], "label"]
    return float(labels.value_counts(normalize=True).max())


def kept_epoch(history: pd.DataFrame, keep: str) -> pd.Series:
    """Return the row of the epoch whose weights were kept: the last, or the first of best validation accuracy."""
    return history.iloc[-1] if keep == "last" else history.loc[history["val_accuracy"].idxmax()]
