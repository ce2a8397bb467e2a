"""How much of its accuracy a system keeps on corrupted images."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fer import layout
from fer.reporting.comparison import stamped
from fer.reporting.figures import plt, save, title
from fer.reporting.results import Result
from fer.reporting.tables import Table
from fer.storage import read_csv


def accuracies(result: Result) -> pd.DataFrame:
    """Return the mean accuracy over seeds, in [0, 1], with one row a corruption and one column a severity.

    All folds of a seed together. Column `n` is the number of images; severity 0, alike in all rows, shows them
    untouched. No rows where the system sees no image (see `fer.evaluation.robustness`).
    """
    measured = pd.concat([read_csv(run.folder / layout.ROBUSTNESS) for run in result.runs])
    if measured.empty:
        return pd.DataFrame(columns=["n", 0], index=pd.Index([], name="corruption"))
    measured["right"] = measured["accuracy"] * measured["n"]
    sums = measured.groupby(["corruption", "severity"], sort=False)[["right", "n"]].sum()
    shares = (sums["right"] / sums["n"]).unstack("severity").rename_axis(columns=None)
    shares[0] = shares.loc["none", 0]
    shares.insert(0, "n", sums["n"].iloc[0] // len(result.seeds))
    return shares.drop(index="none")


def table(results: list[Result]) -> pd.DataFrame:
    """Return the accuracies of several experiments, one below the other, with `experiment` and `corruption` first."""
    parts = {result.name: accuracies(result) for result in results}
    if not parts:
        return pd.DataFrame(columns=["experiment", "corruption", "n"])
    return pd.concat(parts, names=["experiment"]).reset_index()


def summary(results: list[Result]) -> Table:
    """Accuracy on corrupted images of the sound experiments, for reading: each kind averaged over three severities."""
    sound = [result for result in results if result.kind == "sound"]
    rows = []
    for result in sound:
        shown = accuracies(result)
        if shown.empty:
            continue
        means = shown.drop(columns=["n", 0]).mean(axis=1)
        row = {"experiment": result.name, "n": f"{shown['n'].max():,}", "untouched %": f"{100 * shown[0].iloc[0]:.1f}"}
        row |= {f"{name.replace('_', ' ')} %": f"{100 * value:.1f}" for name, value in means.items()}
        rows.append(row | {"mean %": f"{100 * means.mean():.1f}", "trained": result.trained})
    note = (
        "Top-1 accuracy when the test images are corrupted, each kind averaged over three severities (magnitudes in "
        "fer/evaluation/robustness.py, after Hendrycks and Dietterich, ICLR 2019); single severities in the CSV."
    )
    numbers = table(sound).rename(columns=str)
    return Table("robustness", "Robustness", note, pd.DataFrame(rows), numbers, stamped(sound))


def curves(result: Result, target: Path) -> None:
    """Draw accuracy over severity, a line for each corruption."""
    shown = accuracies(result)
    number = f"n = {shown['n'].max():,}" if len(shown) else "none: the system sees no image"
    figure, axes = plt.subplots(figsize=(4.6, 3.0), layout="constrained")
    severities = [name for name in shown.columns if name != "n"]
    for corruption, row in shown[severities].iterrows():
        axes.plot(severities, 100 * row, marker="o", markersize=3, linewidth=1.2, label=corruption.replace("_", " "))
    axes.set(xlabel="severity", ylabel="accuracy, %", xticks=severities, ylim=(0, 100))
    axes.set_title(title(result, f"corrupted images ({number})"))
    if len(shown):
        axes.legend(frameon=False, fontsize=7)
    save(figure, target)
