"""From a distributed image to a face crop."""

from __future__ import annotations

import cv2
import numpy as np

from fer.errors import FerError
from fer.faces.landmarks import LEFT_EYE, RIGHT_EYE

# Where a similarity crop puts the eye centres, as fractions of its side: level, with room for brows and chin.
RIGHT_EYE_AT, LEFT_EYE_AT = (0.31, 0.37), (0.69, 0.37)


def decode(data: bytes, channels: int, name: str) -> np.ndarray:
    """Return the image as uint8: (height, width) for 1 channel, (height, width, 3) in RGB order for 3."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise FerError(f"{name} cannot be decoded: the image is truncated or damaged")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if channels == 3 else image


def grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image


def distributed(image: np.ndarray, size: int) -> np.ndarray:
    """Return the whole image at size × size, as its owners cropped it."""
    if image.shape[:2] == (size, size):
        return image
    shrinks = size < min(image.shape[:2])
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def similarity(image: np.ndarray, landmarks: np.ndarray, size: int) -> np.ndarray:
    """Return a size × size crop rotated, scaled and shifted so that the eye centres fall on their canonical places."""
    right, left = landmarks[RIGHT_EYE].mean(0), landmarks[LEFT_EYE].mean(0)
    matrix = similarity_matrix(np.stack([right, left]), np.array([RIGHT_EYE_AT, LEFT_EYE_AT]) * size)
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def similarity_matrix(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the 2×3 rotation, scaling and shift that takes two `source` points onto two `target` points."""
    (from_a, from_b), (to_a, to_b) = (points[:, 0] + 1j * points[:, 1] for points in (source, target))
    turn = (to_b - to_a) / (from_b - from_a)
    shift = to_a - turn * from_a
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
