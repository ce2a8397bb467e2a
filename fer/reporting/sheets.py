"""Sheets of pictures, by which a person checks with their own eyes what a stage made."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fer.reporting.figures import plt, save


def variants_sheet(
    shown: list[tuple[np.ndarray, list[np.ndarray]]], names: list[tuple[str, int]], title: str, target: Path
) -> None:
    """Draw originals (left) beside their offline variants, one row an original.

    Args:
        shown: pairs of an original and its variants, uint8 (height, width) or (height, width, 3) in RGB.
        names: transform and draw of each variant, the same for every original.
    """
    columns = 1 + len(names)
    figure, grid = plt.subplots(
        len(shown), columns, figsize=(0.62 * columns, 0.62 * len(shown) + 0.6), squeeze=False, layout="constrained"
    )
    for row, (original, variants) in zip(grid, shown, strict=True):
        for axes, image in zip(row, [original, *variants], strict=True):
            axes.imshow(image, cmap="gray", vmin=0, vmax=255)
            axes.set_axis_off()
    headings = ["original", *(name.replace("_", " ") if draw == 0 else "" for name, draw in names)]
    for axes, heading in zip(grid[0], headings, strict=True):
        axes.set_title(heading, fontsize=6, loc="left")
    figure.suptitle(f"{title}: offline variants of training samples", fontsize=8)
    save(figure, target)
