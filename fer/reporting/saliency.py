"""The figure of an experiment's saliency: mean faces, mean maps, and single samples with their own maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from fer.reporting.drawing import ORANGE, empty, plt, save
from fer.wording import stamp

# Inches: the heads, a cell, the rows' names, the colour bars, the gap before the single samples
TOP, CELL, LABELS, BAR, GAP = 0.8, 1.05, 1.15, 0.5, 0.35
LABEL = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.2}
OPAQUE = 0.85  # of a map's highest value over the face


@dataclass(frozen=True)
class Scale:
    """How the maps of one method are coloured: the range `norm`, and `kind`.

    `kind`: "share" runs from 0 to the highest value, "signed" as far below 0 as above, "weight" from the lowest value
    to the highest.
    """

    unit: str
    kind: str
    norm: Normalize

    @property
    def colours(self) -> str:
        """The matplotlib colour map: two-sided for signed values."""
        return "RdBu_r" if self.kind == "signed" else "inferno"


def scale_of(unit: str, kind: str, maps: np.ndarray) -> Scale:
    """Return the one scale of all `maps`, float of any shape, which missing values do not affect."""
    finite = maps[np.isfinite(maps)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    if kind == "signed":
        low, high = -max(-low, high), max(-low, high)
    elif kind == "share":
        low = 0.0
    return Scale(unit, kind, Normalize(low, high if high > low else low + 1))


@dataclass(frozen=True)
class Tile:
    """A cell of the figure, and the head of its column.

    `picture`: uint8 (side, side[, 3]), or None where there is none; `values`: the map that lies over it, float
    (side, side), NaN where there is none, with its `scale`; `caption` and its colour.
    """

    head: str
    picture: np.ndarray | None
    values: np.ndarray | None = None
    scale: Scale | None = None
    caption: str = ""
    colour: str = "black"


@dataclass(frozen=True)
class Row:
    """One expression, or one plane of it: the cells of its means, as many in each row, and of its single samples."""

    name: str
    means: list[Tile]
    singles: list[Tile]


def draw_maps(title: str, rows: list[Row], synthetic: bool, target: Path) -> None:
    """Write the figure: a row per expression; mean face, mean maps over it, and single samples with their own maps."""
    means, singles = len(rows[0].means), max(len(row.singles) for row in rows)
    widths = [CELL] * means + [GAP] + [CELL] * singles
    heights = [CELL] * len(rows) + [BAR]
    width, height = LABELS + sum(widths), TOP + sum(heights)
    figure = plt.figure(figsize=(width, height))
    grid = figure.add_gridspec(
        len(heights), len(widths), width_ratios=widths, height_ratios=heights, wspace=0.05, hspace=0.05,
        left=LABELS / width, right=1 - 0.02 / width, top=1 - TOP / height, bottom=0.02,
    )  # fmt: skip
    cells = [dict([*enumerate(row.means), *enumerate(row.singles, means + 1)]) for row in rows]
    heads = {column: tile.head for row in cells for column, tile in row.items()}
    cells[0] = {column: Tile(head, None) for column, head in heads.items()} | cells[0]  # where it has fewer singles
    for number, row in enumerate(rows):
        for column, tile in cells[number].items():
            axes = paint(figure.add_subplot(grid[number, column]), tile, with_head=number == 0)
            if column == 0:
                axes.set_ylabel(row.name, rotation=0, ha="right", va="center", fontsize=7.5, labelpad=5)
    for column, tile in enumerate(rows[0].means):
        if tile.scale:
            bar(figure.add_subplot(grid[len(rows), column]), tile.scale)
    figure.suptitle(title + stamp(synthetic), fontsize=10, y=1 - 0.14 / height, va="top")
    save(figure, target)


def paint(axes: Axes, tile: Tile, with_head: bool) -> Axes:
    """Draw a cell, with the head of its column above it if that is asked for."""
    empty(axes).set_title(tile.head if with_head else "", fontsize=7.5, pad=4)
    if tile.picture is not None:
        axes.imshow(tile.picture, cmap="gray", vmin=0, vmax=255)
    if tile.scale:
        overlay(axes, tile.values, tile.scale)
    if tile.caption:
        place = {"transform": axes.transAxes, "fontsize": 6, "weight": "bold", "bbox": LABEL}
        axes.text(0.03, 0.04, tile.caption, color=tile.colour, **place)
    return axes


def overlay(axes: Axes, values: np.ndarray, scale: Scale) -> None:
    """Lay a map over a face: the further a value is from where the scale rests, the more of the face it covers."""
    if not np.isfinite(values).all():
        axes.text(0.5, 0.5, "no sample", transform=axes.transAxes, ha="center", va="center", fontsize=6.5, bbox=LABEL)
        return
    rest = 0.5 if scale.kind == "signed" else 0.0
    strength = np.abs(np.asarray(scale.norm(values)) - rest) / (1 - rest)
    alpha = OPAQUE * np.clip(strength, 0, 1) ** 0.7
    axes.imshow(values, cmap=scale.colours, norm=scale.norm, alpha=alpha, interpolation="bilinear")


def bar(axes: Axes, scale: Scale) -> None:
    """Draw a colour scale, with its bounds and its unit."""
    empty(axes)
    norm = scale.norm
    inner = axes.inset_axes([0.06, 0.72, 0.88, 0.16])
    colourbar = axes.figure.colorbar(ScalarMappable(norm, scale.colours), cax=inner, orientation="horizontal")
    colourbar.set_ticks([norm.vmin, norm.vmax], labels=[short(norm.vmin), short(norm.vmax)])
    for label, side in zip(inner.get_xticklabels(), ("left", "right"), strict=True):
        label.set_horizontalalignment(side)
    inner.tick_params(labelsize=6.5, length=0, pad=2)
    colourbar.outline.set_visible(False)
    axes.text(0.5, 0.02, scale.unit, transform=axes.transAxes, ha="center", va="bottom", fontsize=6.5)


def short(value: float) -> str:
    """Return a number in two digits, with a true minus."""
    return f"{value:.2g}".replace("-", "−")


def draw_none(title: str, reason: str, synthetic: bool, target: Path) -> None:
    """Write a figure that says why there is no map."""
    figure = plt.figure(figsize=(7.2, 1.2))
    figure.suptitle(title + stamp(synthetic), fontsize=10)
    figure.text(0.5, 0.35, reason, ha="center", fontsize=8, color=ORANGE)
    save(figure, target)
