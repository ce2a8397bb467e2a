"""The figure of an experiment's saliency: mean faces, mean maps, and single samples with their own maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from fer.reporting.drawing import BLUE, ORANGE, empty, plt, save
from fer.reporting.tables import SYNTHETIC

# Inches: the heads, a cell, the rows' names, the colour bars, the gap before the single samples
TOP, CELL, LABELS, BAR, GAP = 0.8, 1.05, 1.15, 0.5, 0.35
LABEL = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.2}
OPAQUE = 0.85  # of a map's highest value over the face


@dataclass(frozen=True)
class Column:
    """One method's mean map of each row, float (rows, side, side), NaN where there is none; one colour scale for all.

    `kind`: "share" runs from 0 to the highest value, "signed" as far below 0 as above, "weight" from the lowest value
    to the highest.
    """

    title: str
    unit: str
    kind: str
    maps: np.ndarray

    def norm(self) -> Normalize:
        """Return the scale of all maps of the column, which missing values do not affect."""
        finite = self.maps[np.isfinite(self.maps)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        if self.kind == "signed":
            low, high = -max(-low, high), max(-low, high)
        elif self.kind == "share":
            low = 0.0
        return Normalize(low, high if high > low else low + 1)

    @property
    def colours(self) -> str:
        """The matplotlib colour map: two-sided for signed values."""
        return "RdBu_r" if self.kind == "signed" else "inferno"


@dataclass(frozen=True)
class Single:
    """One sample in one row: its picture, uint8 (side, side[, 3]), its maps, and what the network took it for.

    Each map is a column of one row, so that it has a scale of its own.
    """

    picture: np.ndarray
    maps: list[Column]
    predicted: str
    correct: bool


@dataclass(frozen=True)
class Row:
    """One expression, or one plane of it: its mean face and the crop of it, uint8 (side, side[, 3]), or None."""

    name: str
    face: np.ndarray | None
    crop: np.ndarray | None
    singles: list[Single]


@dataclass(frozen=True)
class Tile:
    """A cell of the figure: a picture, over it row `row` of a column's maps, and a caption with its colour."""

    picture: np.ndarray | None
    column: Column | None = None
    row: int = 0
    caption: str = ""
    colour: str = "black"


def draw_maps(title: str, rows: list[Row], columns: list[Column], synthetic: bool, target: Path) -> None:
    """Write the figure: a row per expression; mean face, mean maps over it, and single samples with their own maps."""
    cropped = any(row.crop is not None for row in rows)
    heads = ["mean face", *(["its crop by the\nspatial transformer"] if cropped else [])]
    heads += [column.title for column in columns]
    single_heads = heads_of_singles(rows)
    widths = [CELL] * len(heads) + [GAP] + [CELL] * len(single_heads)
    heights = [CELL] * len(rows) + [BAR]
    width, height = LABELS + sum(widths), TOP + sum(heights)
    figure = plt.figure(figsize=(width, height))
    grid = figure.add_gridspec(
        len(heights), len(widths), width_ratios=widths, height_ratios=heights, wspace=0.05, hspace=0.05,
        left=LABELS / width, right=1 - 0.02 / width, top=1 - TOP / height, bottom=0.02,
    )  # fmt: skip
    for number, row in enumerate(rows):
        for column, tile in enumerate(mean_tiles(number, row, columns, cropped)):
            axes = paint(figure.add_subplot(grid[number, column]), tile, heads[column] if number == 0 else "")
            if column == 0:
                axes.set_ylabel(row.name, rotation=0, ha="right", va="center", fontsize=7.5, labelpad=5)
        for column, tile in enumerate(single_tiles(row)):
            cell = figure.add_subplot(grid[number, len(heads) + 1 + column])
            paint(cell, tile, single_heads[column] if number == 0 else "")
    for position, column in enumerate(columns, len(heads) - len(columns)):
        bar(figure.add_subplot(grid[len(rows), position]), column)
    figure.suptitle(stamped(title, synthetic), fontsize=10, y=1 - 0.14 / height, va="top")
    save(figure, target)


def mean_tiles(number: int, row: Row, columns: list[Column], cropped: bool) -> list[Tile]:
    """Return the cells of an expression's mean maps: the mean face, its crop if asked for, each method's map."""
    crop = [Tile(row.crop)] if cropped else []
    return [Tile(row.face), *crop, *(Tile(row.face, column, number) for column in columns)]


def single_tiles(row: Row) -> list[Tile]:
    """Return the cells of an expression's single samples: each picture, then its maps."""
    return [
        tile
        for single in row.singles
        for tile in (
            Tile(single.picture, caption=single.predicted, colour=BLUE if single.correct else ORANGE),
            *(Tile(single.picture, column) for column in single.maps),
        )
    ]


def heads_of_singles(rows: list[Row]) -> list[str]:
    """Return the heads above the columns of single samples."""
    most = max((row.singles for row in rows), key=len, default=[])
    return [
        head
        for position, single in enumerate(most, 1)
        for head in (f"sample {position},\ntaken for", *(f"{column.title}\n(own scale)" for column in single.maps))
    ]


def stamped(title: str, synthetic: bool) -> str:
    """Return a title, stamped SYNTHETIC where the faces are."""
    return f"{title}  ({SYNTHETIC})" if synthetic else title


def paint(axes: Axes, tile: Tile, head: str) -> Axes:
    """Draw a cell, with a head above it."""
    empty(axes).set_title(head, fontsize=7.5, pad=4)
    if tile.picture is not None:
        axes.imshow(tile.picture, cmap="gray", vmin=0, vmax=255)
    if tile.column is not None:
        overlay(axes, tile.column.maps[tile.row], tile.column)
    if tile.caption:
        place = {"transform": axes.transAxes, "fontsize": 6, "weight": "bold", "bbox": LABEL}
        axes.text(0.03, 0.04, tile.caption, color=tile.colour, **place)
    return axes


def overlay(axes: Axes, values: np.ndarray, column: Column) -> None:
    """Lay a map over a face: the further a value is from where the scale rests, the more of the face it covers."""
    if not np.isfinite(values).all():
        axes.text(0.5, 0.5, "no sample", transform=axes.transAxes, ha="center", va="center", fontsize=6.5, bbox=LABEL)
        return
    norm, rest = column.norm(), 0.5 if column.kind == "signed" else 0.0
    strength = np.abs(np.asarray(norm(values)) - rest) / (1 - rest)
    alpha = OPAQUE * np.clip(strength, 0, 1) ** 0.7
    axes.imshow(values, cmap=column.colours, norm=norm, alpha=alpha, interpolation="bilinear")


def bar(axes: Axes, column: Column) -> None:
    """Draw a column's colour scale, with its bounds."""
    empty(axes)
    norm = column.norm()
    inner = axes.inset_axes([0.06, 0.72, 0.88, 0.16])
    colourbar = axes.figure.colorbar(ScalarMappable(norm, column.colours), cax=inner, orientation="horizontal")
    colourbar.set_ticks([norm.vmin, norm.vmax], labels=[short(norm.vmin), short(norm.vmax)])
    for label, side in zip(inner.get_xticklabels(), ("left", "right"), strict=True):
        label.set_horizontalalignment(side)
    inner.tick_params(labelsize=6.5, length=0, pad=2)
    colourbar.outline.set_visible(False)
    axes.text(0.5, 0.02, column.unit, transform=axes.transAxes, ha="center", va="bottom", fontsize=6.5)


def short(value: float) -> str:
    """Return a number in two digits, with a true minus."""
    return f"{value:.2g}".replace("-", "−")


def draw_none(title: str, reason: str, synthetic: bool, target: Path) -> None:
    """Write a figure that says why there is no map."""
    figure = plt.figure(figsize=(7.2, 1.2))
    figure.suptitle(stamped(title, synthetic), fontsize=10)
    figure.text(0.5, 0.35, reason, ha="center", fontsize=8, color=ORANGE)
    save(figure, target)
