"""What all figures share: matplotlib without a display, colours, cells without axes, and files that repeat."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no display is needed, or tried

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from fer.storage import atomic

BLUE, ORANGE, GREY = "#2f5d8a", "#d1782b", "#8a8a8a"
plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 150})


def empty(axes: Axes) -> Axes:
    """Take ticks and frame off a cell."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes


def save(figure, target: Path) -> None:
    """Write a figure as PNG without a date or version, so that equal figures are equal files; close it."""
    with atomic(target) as scratch:
        figure.savefig(scratch, format="png", metadata={"Software": None})
    plt.close(figure)
