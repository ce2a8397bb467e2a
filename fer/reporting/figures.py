"""Figures of one experiment: confusion matrix, learning curves, and whether it is right as often as it is confident."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fer.evaluation import metrics
from fer.evaluation.summary import kept_epoch
from fer.reporting.drawing import BLUE, ORANGE, plt, save
from fer.reporting.results import Result
from fer.wording import stamp


def confusion(result: Result, target: Path) -> None:
    """Draw the row-normalised confusion matrix, all folds and seeds together, with its counts."""
    counts, classes = result.confusion, result.first.dataset.classes
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (true, predicted), share in np.ndenumerate(shares):
        text = f"{100 * share:.0f}\n({counts[true, predicted]})"
        axes.text(
            predicted, true, text, ha="center", va="center", fontsize=6, color="white" if share > 0.5 else "black"
        )
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="predicted", ylabel="true", title=title(result, "% of the true class (count)"))
    axes.spines[:].set_visible(False)
    save(figure, target)


def curves(result: Result, target: Path) -> None:
    """Draw loss and accuracy of every run over its epochs; the dot is the epoch that was kept."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.8), layout="constrained")
    for number, history in enumerate(result.tables("history")):
        mark = kept_epoch(history, result.parameters["recipe"]["keep"])
        for axes, quantity, factor in ((left, "loss", 1), (right, "accuracy", 100)):
            for part, color in (("train", BLUE), ("val", ORANGE)):
                label = {"train": "train", "val": "validation"}[part] if number == 0 else None
                values = factor * history[f"{part}_{quantity}"]
                axes.plot(history["epoch"], values, color=color, alpha=0.7, linewidth=1.2, label=label)
            axes.plot(mark["epoch"], factor * mark[f"val_{quantity}"], "o", color=ORANGE, markersize=4)
    left.set(xlabel="epoch", ylabel="loss")
    right.set(xlabel="epoch", ylabel="accuracy, %")
    left.legend(frameon=False)
    figure.suptitle(title(result, "learning curves"), fontsize=9)
    save(figure, target)


def reliability(result: Result) -> pd.DataFrame:
    """Return the bins of the diagram, all folds and seeds together (see `fer.evaluation.metrics.diagram`)."""
    return metrics.diagram(result.bins(result.seeds))


def reliability_diagram(result: Result, target: Path) -> None:
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


def title(result: Result, what: str) -> str:
    """Return the title of an experiment's figure, stamped SYNTHETIC where its faces are."""
    return f"{result.name}\n{what}" + stamp(result.synthetic)
