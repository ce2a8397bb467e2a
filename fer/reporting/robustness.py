"""How much of its accuracy a system keeps on corrupted images."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fer import layout
from fer.reporting.figures import plt, save, title
from fer.reporting.results import Result
from fer.storage import require


def accuracies(result: Result) -> pd.DataFrame:
    """Return the mean accuracy over seeds, in [0, 1], with one row a corruption and one column a severity.

    All folds of a seed together. Column `n` is the number of images; severity 0, alike in all rows, shows them
    untouched. No rows where the system sees no image (see `fer.evaluation.robustness`).
    """
    measured = pd.concat([pd.read_csv(require(run.folder / layout.ROBUSTNESS)) for run in result.runs])
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
    return pd.concat(parts, names=["experiment"]).reset_index()


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
