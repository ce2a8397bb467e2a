"""Is a system right as often as it is confident? The reliability diagram of one experiment."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fer.evaluation import metrics
from fer.reporting.drawing import BLUE, ORANGE, plt, save
from fer.reporting.figures import title
from fer.reporting.results import Result


def reliability(result: Result) -> pd.DataFrame:
    """Return the bins of the diagram, all folds and seeds together (see `fer.evaluation.metrics.diagram`)."""
    return metrics.diagram(result.bins(result.seeds))


def diagram(result: Result, target: Path) -> None:
    """Draw accuracy over confidence, with the gap to the diagonal, and below it the predictions by confidence."""
    table = reliability(result)
    low, width, n = table["bin_low"], table["bin_high"] - table["bin_low"], table["n"]
    accuracy, gap = table["accuracy"].fillna(0), (table["confidence"] - table["accuracy"]).fillna(0)
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(3.6, 4.4), height_ratios=(3, 1), sharex=True, layout="constrained"
    )
    upper.bar(low, 100 * accuracy, width, align="edge", color=BLUE, edgecolor="white", label="accuracy")
    upper.bar(
        low, 100 * gap, width, 100 * accuracy, align="edge", color="none", edgecolor=ORANGE, hatch="////", label="gap"
    )
    upper.plot([0, 1], [0, 100], color="black", linewidth=0.8, linestyle="--", label="calibrated")
    upper.set(ylabel="accuracy, %", ylim=(0, 100), title=title(result, f"ECE {100 * result.mean('ece'):.1f} %"))
    upper.legend(frameon=False, loc="upper left")
    lower.bar(low, 100 * n / n.sum(), width, align="edge", color=BLUE, edgecolor="white")
    lower.set(xlabel="confidence", ylabel="predictions, %", xlim=(0, 1))
    save(figure, target)
