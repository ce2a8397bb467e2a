"""Sheets of pictures, by which a person checks with their own eyes what a stage made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fer.faces.blocks import Boxes, corners
from fer.reporting.drawing import BLUE, ORANGE, empty, plt, save
from fer.storage import read_frame

COLUMNS = 10
COLOURS = {"eyes": BLUE, "mouth": ORANGE}
ROWS = ("original", "aligned", "eyes", "mouth")  # "aligned" becomes AS_DISTRIBUTED where nothing was aligned
AS_DISTRIBUTED = "as distributed"
SMALL = 64  # images up to this side are shown pixel by pixel


@dataclass(frozen=True)
class Choice:
    """The samples of a sheet: tables with sample, label and modality of faces `found` and `missed`."""

    found: pd.DataFrame
    missed: pd.DataFrame
    missing: int  # all samples without a detection

    @property
    def samples(self) -> set[int]:
        """The numbers of all samples on the sheet."""
        return {*self.found["sample"], *self.missed["sample"]}


@dataclass(frozen=True)
class Tile:
    """An original (uint8), its landmarks (68, 2) or None, and its boxes."""

    image: np.ndarray
    landmarks: np.ndarray | None
    boxes: Boxes


def choose(faces: Path, index: Path) -> Choice:
    """Choose samples with a face, spread over the classes (where there are pairs: both images of each), and without."""
    samples = read_frame(index, ["sample", "label", "modality", "pair"])
    detected = read_frame(faces, ["detected"])["detected"]
    found, missed = samples[detected], samples[~detected]
    paired = found[found["pair"].notna() & found.duplicated("pair", keep=False)]
    if paired.empty:
        shown = spread(found, COLUMNS)
    else:
        pairs = spread(paired.drop_duplicates("pair"), COLUMNS // 2)["pair"].tolist()
        shown = paired.set_index("pair", drop=False).loc[pairs]  # pair by pair
    return Choice(shown, spread(missed, COLUMNS), len(missed))


def spread(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return up to `count` rows: the classes share them, and those of a class lie evenly over its rows."""
    groups = [rows for _, rows in table.groupby("label")]
    quotas = [0] * len(groups)
    for _ in range(min(count, len(table))):
        open_groups = [number for number, rows in enumerate(groups) if quotas[number] < len(rows)]
        quotas[min(open_groups, key=quotas.__getitem__)] += 1
    picked = [
        rows.iloc[((np.arange(quota) + 0.5) / quota * len(rows)).astype(int)]
        for rows, quota in zip(groups, quotas, strict=True)
        if quota
    ]
    return pd.concat(picked) if picked else table


def draw_sheet(
    title: str,
    classes: list[str],
    choice: Choice,
    tiles: dict[int, Tile],
    arrays: dict[str, np.ndarray],
    target: Path,
    aligned: bool = True,
) -> None:
    """Write the sheet of a dataset: originals with landmarks and boxes, aligned faces, blocks, one column per face.

    A last row has originals without a face, their boxes at canonical places.

    Args:
        tiles: those of the samples in `choice`.
        arrays: the images of all samples for each of the rows "aligned", "eyes" and "mouth".
        aligned: false where the crops are the images as distributed: their row then says so.
    """
    labels = row_labels(choice, aligned)
    size = (1.25 * COLUMNS + 0.6, 1.32 * len(labels) + 0.7)
    figure, axes = plt.subplots(len(labels), COLUMNS, figsize=size, dpi=110, layout="constrained")
    for cell in axes.flat:
        empty(cell)
    for column, row in enumerate(choice.found.itertuples()):
        outline(axes[0, column], tiles[row.sample])
        axes[0, column].set_title(caption(row, classes), fontsize=8)
        for cell, name in zip(axes[1:, column], ROWS[1:], strict=False):
            show(cell, arrays[name][row.sample])
    for column, row in enumerate(choice.missed.itertuples()):
        outline(axes[-1, column], tiles[row.sample])
        axes[-1, column].set_title(caption(row, classes), fontsize=8)
    for cell, name in zip(axes[:, 0], labels, strict=True):
        cell.set_ylabel(name, fontsize=9)
    figure.suptitle(title, fontsize=11)
    save(figure, target)


def row_labels(choice: Choice, aligned: bool) -> list[str]:
    """Return the labels of the sheet's rows."""
    labels = [AS_DISTRIBUTED if name == "aligned" and not aligned else name for name in ROWS]
    return labels + ([f"no face found\n({choice.missing:,} in all)"] if choice.missing else [])


def caption(row, classes: list[str]) -> str:
    """Return the class of a sample, and "infrared" below it where it is."""
    return classes[row.label] + ("\ninfrared" if row.modality == "infrared" else "")


def show(axes, image: np.ndarray) -> None:
    """Show an image, grey or RGB; small ones pixel by pixel."""
    interpolation = "nearest" if max(image.shape[:2]) <= SMALL else "antialiased"
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation=interpolation)


def outline(axes, tile: Tile) -> None:
    """Show an original with its landmarks and boxes; what of them lies outside is cut off."""
    show(axes, tile.image)
    height, width = tile.image.shape[:2]
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), autoscale_on=False)
    for part, colour in COLOURS.items():
        around = corners(getattr(tile.boxes, part), tile.boxes.angle)[[0, 1, 2, 3, 0]]
        axes.plot(*around.T, color=colour, linewidth=1.1, linestyle=":" if tile.landmarks is None else "-")
    if tile.landmarks is not None:
        axes.plot(*tile.landmarks.T, ".", color="#3fd06b", markersize=1.6)


def variants_sheet(
    shown: list[tuple[np.ndarray, list[np.ndarray]]], names: list[tuple[str, int]], title: str, target: Path
) -> None:
    """Draw originals (left) beside their offline variants, one row per original.

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
            show(empty(axes), image)
    headings = ["original", *(name.replace("_", " ") if draw == 0 else "" for name, draw in names)]
    for axes, heading in zip(grid[0], headings, strict=True):
        axes.set_title(heading, fontsize=6, loc="left")
    figure.suptitle(f"{title}: offline variants of training samples", fontsize=8)
    save(figure, target)
