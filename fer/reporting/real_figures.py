"""The figures of the report on real faces: no face is in them."""

from __future__ import annotations

from pathlib import Path

from fer.reporting.drawing import BLUE, GREY, ORANGE, plt, save
from fer.reporting.kept import Entry

PANELS, FEWEST = 4, 10  # of the figure of calibration: panels in a row, predictions of a point


def results(entries: list[Entry], target: Path) -> None:
    """Draw the accuracy of every sound and outside entry with its interval, beside the published figure."""
    shown = [entry for entry in entries if entry.kind in ("sound", "external")]
    datasets = list(dict.fromkeys(entry.dataset for entry in shown))
    counts = [sum(entry.dataset == name for entry in shown) for name in datasets]
    figure, panels = plt.subplots(
        max(len(datasets), 1),
        1,
        figsize=(7.2, 0.9 + 0.27 * len(shown) + 0.45 * len(datasets)),
        height_ratios=counts or [1],
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for axes, name in zip(panels[:, 0], datasets, strict=False):
        own = [entry for entry in shown if entry.dataset == name][::-1]
        for place, entry in enumerate(own):
            plot_entry(axes, place, entry)
        axes.set_yticks(range(len(own)), [label(entry) for entry in own], fontsize=8)
        axes.set_ylim(-0.6, len(own) - 0.4)
        axes.set_title(
            f"{own[0].dataset_title}, {', '.join(dict.fromkeys(e.protocol.replace('_', ' ') for e in own))}",
            loc="left",
            fontsize=9,
        )
        axes.grid(axis="x", linewidth=0.4)
    panels[-1, 0].set(xlabel="accuracy on real test images, %")
    handles = [
        plt.Line2D([], [], marker="o", color=BLUE, label="this project, 95 % interval"),
        plt.Line2D([], [], marker="s", color=ORANGE, label="other programs"),
        plt.Line2D([], [], marker="s", color=GREY, label="trained on the test images"),
        plt.Line2D([], [], marker="x", color="black", linestyle="none", label="published"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=7.5)
    save(figure, target)


def plot_entry(axes, place: int, entry: Entry) -> None:
    """Draw an entry's accuracy, its interval and the published figure at one height."""
    interval, accuracy = entry.interval, 100 * entry.mean("accuracy")
    color = BLUE if not entry.external else GREY if entry.facts["saw_test"] == "yes" else ORANGE
    axes.plot([100 * interval.low, 100 * interval.high], [place, place], color=color, linewidth=1.6)
    axes.plot(accuracy, place, "s" if entry.external else "o", color=color, markersize=5)
    if entry.kind == "sound" and entry.experiment.published.accuracy is not None:
        axes.plot(100 * entry.experiment.published.accuracy, place, "x", color="black", markersize=6)


def label(entry: Entry) -> str:
    """Return the name of an entry's system, as the axis shows it."""
    if entry.external:
        return entry.facts["external"]
    return entry.experiment.system + (f", from {entry.starts_from}" if entry.starts_from else "")


def calibration(entries: list[Entry], target: Path) -> None:
    """Draw accuracy over confidence of every sound and outside entry that gives probabilities, a panel each.

    The larger a point, the more predictions it stands for; the accuracy of fewer than `FEWEST` says nothing.
    """
    shown = [entry for entry in entries if entry.kind in ("sound", "external") and entry.ece is not None]
    rows = max(-(-len(shown) // PANELS), 1)
    figure, panels = plt.subplots(rows, PANELS, figsize=(8.4, 2.35 * rows), squeeze=False, layout="constrained")
    for axes in panels.ravel()[len(shown) :]:
        axes.axis("off")
    for axes, entry in zip(panels.ravel(), shown, strict=False):
        found = entry.bins[entry.bins["n"] >= FEWEST]
        confidence, accuracy, share = 100 * found["confidence"], 100 * found["accuracy"], found["n"] / found["n"].sum()
        color = ORANGE if entry.external else BLUE
        axes.plot([0, 100], [0, 100], color=GREY, linewidth=0.8, linestyle="--")
        axes.plot(confidence, accuracy, color=color, linewidth=1)
        axes.scatter(confidence, accuracy, 4 + 120 * share, color=color, zorder=3, clip_on=False)
        axes.set(xlim=(0, 103), ylim=(0, 103), xticks=(0, 50, 100), yticks=(0, 50, 100), aspect="equal")
        axes.set_title(f"{entry.dataset_title}\n{label(entry)}", fontsize=8)
        axes.text(4, 92, f"ECE {100 * entry.ece:.1f} %", fontsize=8)
        axes.tick_params(labelsize=7)
    figure.supxlabel("confidence, %", fontsize=8)
    figure.supylabel("accuracy, %", fontsize=8)
    save(figure, target)
