"""The two blocks of prior attention: eyes with eyebrows, and mouth, each a level rectangle around its landmarks.

System S1 resizes its blocks to 32 × 32 whatever their aspect, and so does this: the square block is the rectangle
squeezed. Where S1 adds 30 pixels to FERG's faces of 256, the margin here is a fraction of the distance between the
eyes, so that it means the same at every resolution.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from fer.faces.crops import decode, resized, warped
from fer.faces.landmarks import LEFT_EYE, RIGHT_EYE
from fer.params import Dataset

EYES = [*range(17, 27), *range(36, 48)]
MOUTH = [*range(48, 68)]

# Where landmarks are wanting, as fractions of the full frame: left, top, right, bottom of the landmarks of each block,
# and the distance between the eyes. Medians over the faces detected in FER2013, whose crops fill the frame.
CANONICAL_EYES = (0.16, 0.24, 0.84, 0.44)
CANONICAL_MOUTH = (0.34, 0.72, 0.66, 0.87)
CANONICAL_DISTANCE = 0.37


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels; turned about its own centre by the angle of the eyes it covers its block."""

    x: float
    y: float
    width: float
    height: float

    @property
    def centre(self) -> np.ndarray:
        """The centre (x, y), float64 (2,), in pixels."""
        return np.array([self.x + self.width / 2, self.y + self.height / 2])


@dataclass(frozen=True)
class Boxes:
    """The boxes of one face, and where they come from.

    `angle` is that of the line through the eyes, in degrees, positive when its right end is lower.
    """

    eyes: Box
    mouth: Box
    angle: float
    source: Literal["landmarks", "canonical"]


COLUMNS = {part: [f"{part}_{side.name}" for side in fields(Box)] for part in ("eyes", "mouth")}  # of a table of boxes


def cut_blocks(parameters: Dataset, original: dict) -> tuple[Boxes, np.ndarray, np.ndarray]:
    """Return the boxes, the eyes block and the mouth block of one original: its image, path and landmarks (or None)."""
    image = decode(original["image"], parameters.alignment.channels, original["path"])
    places = locate(original["landmarks"], image.shape, parameters.blocks.margin)
    return places, *(cut(image, box, places.angle, parameters.blocks.size) for box in (places.eyes, places.mouth))


def locate(landmarks: list[float] | None, shape: tuple[int, ...], margin: float) -> Boxes:
    """Return the boxes around 68 landmarks (x, y, x, y, …) or, without any, of the full frame (height, width, …)."""
    if landmarks is None:
        return canonical_boxes(*shape[:2], margin)
    return boxes(np.reshape(landmarks, (-1, 2)), margin)


def boxes(landmarks: np.ndarray, margin: float) -> Boxes:
    """Return the boxes around the landmarks (68, 2), larger by `margin` times the distance between the eyes."""
    points = np.asarray(landmarks, dtype=float)
    across = points[LEFT_EYE].mean(0) - points[RIGHT_EYE].mean(0)
    distance = np.hypot(*across)
    angle = np.degrees(np.arctan2(across[1], across[0]))
    return Boxes(*(around(points[part], angle, margin * distance) for part in (EYES, MOUTH)), float(angle), "landmarks")


def around(points: np.ndarray, angle: float, margin: float) -> Box:
    """Return the box, level with eyes at `angle` degrees, that holds the points (n, 2) and a margin in pixels."""
    turn = rotation(angle)
    level = points @ turn  # the inverse of the rotation, since points are rows
    low, high = level.min(0) - margin, level.max(0) + margin
    x, y = turn @ ((low + high) / 2) - (high - low) / 2
    return Box(float(x), float(y), *map(float, high - low))


def canonical_boxes(height: int, width: int, margin: float) -> Boxes:
    """Return the boxes of a face that fills a frame of height × width pixels."""

    def box(left: float, top: float, right: float, bottom: float) -> Box:
        border = margin * CANONICAL_DISTANCE
        across, down = right - left + 2 * border, bottom - top + 2 * border
        return Box((left - border) * width - 0.5, (top - border) * height - 0.5, across * width, down * height)

    return Boxes(box(*CANONICAL_EYES), box(*CANONICAL_MOUTH), 0.0, "canonical")


def cut(image: np.ndarray, box: Box, angle: float, size: int) -> np.ndarray:
    """Return the box as a level block of size × size, uint8. Beyond the image its border is replicated."""
    width, height = max(1, round(box.width)), max(1, round(box.height))
    turn = rotation(angle) * (box.width / width, box.height / height)
    corner = box.centre + turn @ ((1 - width) / 2, (1 - height) / 2)
    matrix = np.column_stack([turn, corner])  # from pixels of the block to those of the image
    return resized(warped(image, matrix, width, height), size, size)


def corners(box: Box, angle: float) -> np.ndarray:
    """Return the corners of the turned box in pixels, float64 (4, 2)."""
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (box.width / 2, box.height / 2)
    return half @ rotation(angle).T + box.centre


def rotation(angle: float) -> np.ndarray:
    """Return the 2×2 matrix that turns (1, 0) by `angle` degrees towards (0, 1), which points down in an image."""
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.array([[cosine, -sine], [sine, cosine]])
