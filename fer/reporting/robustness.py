"""How much of its accuracy a system keeps on corrupted images."""

from __future__ import annotations

import pandas as pd

from fer.evaluation.predictions import evenly_spaced
from fer.reporting.comparison import LOSSES, any_synthetic, lost
from fer.reporting.kept import Entry
from fer.reporting.results import Result
from fer.reporting.tables import Table, percent


def accuracies(result: Result | Entry) -> pd.DataFrame:
    """Return the mean accuracy over seeds, in [0, 1], with one row per corruption and one column per severity.

    All folds of a seed together. Column `n` is the number of images; severity 0, alike in all rows, shows them
    untouched. No rows where the system sees no image (see `fer.evaluation.robustness`), or is none of this project.
    """
    tables = result.tables("robustness")
    measured = pd.concat(tables) if tables else pd.DataFrame()
    if measured.empty:
        return pd.DataFrame(columns=["n", 0], index=pd.Index([], name="corruption"))
    measured["right"] = measured["accuracy"] * measured["n"]
    sums = measured.groupby(["corruption", "severity"], sort=False)[["right", "n"]].sum()
    shares = (sums["right"] / sums["n"]).unstack("severity").rename_axis(columns=None)
    shares[0] = shares.loc["none", 0]
    shares.insert(0, "n", sums["n"].iloc[0] // len(result.seeds))
    return shares.drop(index="none")


def clusters(result: Result) -> int:
    """Return the number of subjects, sequences or single images among the corrupted images."""
    found = set()
    for answers, measured in zip(result.tables("answers"), result.tables("robustness"), strict=True):
        known = answers["cluster"]
        found.update(known.iloc[evenly_spaced(len(known), int(measured["n"].max()))])
    return len(found)


def table(results: list[Result]) -> pd.DataFrame:
    """Return the accuracies of several experiments, one below the other, with `experiment` and `corruption` first."""
    parts = {result.name: accuracies(result) for result in results}
    if not parts:
        return pd.DataFrame(columns=["experiment", "corruption", "n"])
    return pd.concat(parts, names=["experiment"]).reset_index()


def readable(results: list[Result] | list[Entry]) -> pd.DataFrame:
    """Return the accuracies in percent for reading, each kind of corruption averaged over its severities."""
    rows = []
    for result in results:
        if (shown := accuracies(result)).empty:
            continue
        means = shown.drop(columns=["n", 0]).mean(axis=1)
        row = {"experiment": result.name, "n": f"{shown['n'].max():,}", "untouched %": percent(shown[0].iloc[0], 1)}
        row |= {f"{name.replace('_', ' ')} %": percent(value, 1) for name, value in means.items()}
        rows.append(row | {"mean %": percent(means.mean(), 1)})
    return pd.DataFrame(rows)


def summary(results: list[Result]) -> Table:
    """Accuracy on corrupted images of the sound experiments, for reading: each kind averaged over three severities."""
    sound = {result.name: result for result in results if result.kind == "sound"}
    numbers = table(list(sound.values())).rename(columns=str)
    counts = {name: clusters(sound[name]) for name in numbers["experiment"].unique()}
    numbers.insert(numbers.columns.get_loc("n") + 1, "clusters", numbers["experiment"].map(counts))
    frame = readable(list(sound.values()))
    if len(frame):
        frame.insert(3, "clusters", [f"{counts[name]:,}" for name in frame["experiment"]])
        frame["trained"] = [sound[name].trained for name in frame["experiment"]]
        frame = frame.join(pd.DataFrame([lost(sound[name]) for name in frame["experiment"]]))
    note = (
        "Top-1 accuracy on corrupted test images, averaged over three severities of each corruption. Magnitudes "
        "are in fer/evaluation/robustness.py, after Hendrycks and Dietterich (ICLR 2019); the CSV lists each "
        "severity. "
        f"Clusters are the subjects, sequences or single images that these are of. {LOSSES}"
    )
    return Table("robustness", "Robustness", note, frame, numbers, any_synthetic(list(sound.values())))
