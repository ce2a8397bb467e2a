"""What the places of the blocks say without the picture in them.

The project behind `prior_attention` cut every block from one left-over image, so that its network saw only the
geometry of the landmark boxes. Two ways to find out what that gives: the blocks of one constant image, and the bare
numbers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fer.faces.blocks import COLUMNS, Box, cut
from fer.faces.crops import decode
from fer.storage import read_array, read_frame, read_originals


def box_numbers(boxes: Path, faces: Path) -> np.ndarray:
    """Return x, y, width and height of the eyes and of the mouth box of every sample, uint8 (samples, 8).

    They are shares of the frame, 0 to 255, cut off beyond it: at FERG's 256 pixels the integers that the original has.
    """
    numbers = read_frame(boxes, COLUMNS["eyes"] + COLUMNS["mouth"]).to_numpy(np.float64)
    frames = read_frame(faces, ["width", "height"]).to_numpy(np.float64)
    shares = numbers / np.tile(frames, 4)
    return np.clip(np.round(255 * shares), 0, 255).astype(np.uint8)


def constant_blocks(raw: Path, boxes: Path, like: Path, block: str) -> np.ndarray:
    """Return every sample's eyes or mouth block, cut from the last original of `raw`, uint8 as the array in `like`."""
    shape = read_array(like).shape
    last = shape[0] - 1
    (_, image) = next(read_originals(raw, np.array([last])))
    pixels = decode(image, 3 if len(shape) == 4 else 1, f"sample {last} of {raw}")
    columns = [*COLUMNS[block], "angle"]
    rows = read_frame(boxes, columns)[columns].itertuples(index=False, name=None)
    return np.stack([cut(pixels, Box(*sides), angle, shape[1]) for *sides, angle in rows])
