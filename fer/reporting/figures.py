"""Figures of one experiment: confusion matrix and learning curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fer.evaluation.summary import kept_epoch
from fer.reporting.drawing import BLUE, ORANGE, plt, save
from fer.reporting.results import Result
from fer.reporting.tables import SYNTHETIC


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


def title(result: Result, what: str) -> str:
    """Return the title of an experiment's figure, stamped SYNTHETIC where its faces are."""
    return f"{result.name}\n{what}" + (f" ({SYNTHETIC})" if result.synthetic else "")
