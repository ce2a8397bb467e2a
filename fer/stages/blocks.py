"""blocks: from raw and faces to `data/blocks/<dataset>.parquet` (boxes), `.eyes.npy` and `.mouth.npy` (uint8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from fer.faces.blocks import COLUMNS, Boxes, cut_blocks, locate
from fer.faces.crops import decode
from fer.parallel import ordered_map
from fer.params import Dataset
from fer.progress import track
from fer.reporting.sheets import Tile, choose, draw_sheet
from fer.stages.align import BATCH, prepare_worker
from fer.storage import array_writer, open_parquet, read_array, read_rows, write_rows
from fer.wording import counted, stamp

SCHEMA = pa.schema(
    [
        ("sample", pa.int32()),
        ("source", pa.string()),  # landmarks, or canonical: boxes of the full frame, for want of a detection
        # Level boxes in pixels of the original: turned by `angle` about its own centre each covers its block.
        *((name, pa.float32()) for names in COLUMNS.values() for name in names),
        ("angle", pa.float32()),  # of the line through the eyes, degrees, positive when its right end is lower
    ]
)


def blocks(
    raw: Path,
    faces: Path,
    index: Path,
    crops: Path,
    parameters: Dataset,
    boxes_file: Path,
    eyes_file: Path,
    mouth_file: Path,
    sheet_file: Path,
    synthetic: bool = False,
) -> str:
    """Cut the eyes and the mouth block of every original, in its order; return a line for the terminal.

    `boxes_file` gets a row per sample; `eyes_file` and `mouth_file` the uint8 arrays (samples, size, size[, 3]);
    `sheet_file` (PNG) shows samples of everything made from the faces; its title says so if they are drawn.
    """
    total = open_parquet(raw).metadata.num_rows
    size, channels = parameters.blocks.size, parameters.alignment.channels
    shape = (total, size, size) + ((3,) if channels == 3 else ())
    choice = choose(faces, index)
    chosen, shown = choice.samples, {}
    canonical = 0

    def originals() -> Iterator[dict]:
        found = read_rows(faces, ["landmarks"])
        for number, (original, face) in enumerate(zip(read_rows(raw, ["path", "image"], BATCH), found, strict=True)):
            if number in chosen:
                shown[number] = original | face
            yield original | face

    with array_writer(eyes_file, shape) as eyes, array_writer(mouth_file, shape) as mouth:

        def rows() -> Iterator[dict]:
            nonlocal canonical
            results = ordered_map(partial(cut_blocks, parameters), originals(), prepare_worker)
            for number, (places, eyes_block, mouth_block) in enumerate(track(results, total, "blocks")):
                eyes.append(eyes_block)
                mouth.append(mouth_block)
                canonical += places.source == "canonical"
                yield {"sample": number, **box_row(places)}

        write_rows(boxes_file, SCHEMA, rows())

    files = {"aligned": crops, "eyes": eyes_file, "mouth": mouth_file}
    arrays = {name: read_array(file) for name, file in files.items()}
    tiles = {number: tile(original, parameters) for number, original in shown.items()}
    name = parameters.title + stamp(synthetic)
    title = f"{name}: faces found in {total - canonical:,} of {counted(total, 'image')} ({1 - canonical / total:.1%})"
    aligned = parameters.alignment.crop == "similarity"
    draw_sheet(title, parameters.classes, choice, tiles, arrays, sheet_file, aligned)
    return counted(2 * total, "block") + (
        f", those of {counted(canonical, 'image')} at canonical places" if canonical else ""
    )


def box_row(places: Boxes) -> dict:
    """Return the boxes of a face as a row: x, y, width and height of each in pixels, the angle, their source."""
    sides = dict(zip(COLUMNS["eyes"] + COLUMNS["mouth"], (*astuple(places.eyes), *astuple(places.mouth)), strict=True))
    return {**sides, "angle": places.angle, "source": places.source}


def tile(original: dict, parameters: Dataset) -> Tile:
    """Return what the sheet shows of an original."""
    image = decode(original["image"], parameters.alignment.channels, original["path"])
    landmarks = original["landmarks"]
    points = None if landmarks is None else np.reshape(landmarks, (-1, 2))
    return Tile(image, points, locate(landmarks, image.shape, parameters.blocks.margin))
