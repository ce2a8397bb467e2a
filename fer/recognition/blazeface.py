"""Find faces with BlazeFace, a small network that the package carries, and their 68 landmarks with dlib.

V. Bazarevsky et al., BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs, 2019; weights of MediaPipe,
Apache-2.0 (`fer/pretrained/blazeface/NOTICE`). Beside dlib's HOG detector it finds tilted and half-turned faces and is
an order of magnitude faster (benchmarks/README.md). It needs ONNX Runtime.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import dlib
import numpy as np

from fer.faces import landmarks
from fer.faces.crops import similarity_matrix
from fer.recognition.detection import SMALLEST, DetectedFace
from fer.recognition.exported import open_session

MODEL = Path(__file__).parents[1] / "pretrained" / "blazeface" / "model.onnx"
SIDE = 128  # pixels that the network sees
SCORE = 0.7  # of a face; at 0.6 a fifteenth of FER2013's images with shuffled tiles holds one, at 0.8 a seventh of
# its faces is missed
SHARE = 0.12  # of a window's side: the smallest face that is found in it
MOST_WINDOWS = 64  # of a level: bounds the time, whatever the photograph
SAME = 0.3  # intersection over union of two boxes of one face
APART = 0.2  # of the distance between the eyes: landmarks whose eyes lie farther from the network's are moved onto them


def detect(image: np.ndarray, smallest: int = SMALLEST) -> list[DetectedFace]:
    """Return all faces of a grey image, the largest first.

    The network looks at the whole image, then at ever smaller windows that overlap by half, until the smallest face is
    large enough in them.

    Args:
        image: uint8 (height, width).
        smallest: side of the smallest face to look for, in pixels.

    Raises:
        FerError: ONNX Runtime is not installed.
    """
    rows, side = [look(image, 0, 0, max(image.shape))], max(image.shape)
    while side * SHARE > smallest:
        side = (side + 1) // 2
        places = [(left, top) for top in starts(image.shape[0], side) for left in starts(image.shape[1], side)]
        if len(places) > MOST_WINDOWS:
            break
        rows += [look(image, left, top, side) for left, top in places]
    found = [described(image, row) for row in distinct(np.concatenate(rows))]
    return sorted(found, key=lambda face: -(face.box[2] - face.box[0]))


def starts(length: int, side: int) -> list[int]:
    """Return where windows of `side` begin along an axis: half a side apart, the last one at its end."""
    if length <= side:
        return [0]
    count = -(-(length - side) // max(1, side // 2)) + 1
    return np.linspace(0, length - side, count).round().astype(int).tolist()


def look(image: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    """Return the faces of a square window, float32 (n, 17): score, box, six points (x, y) in pixels of the image."""
    window = image[top : top + side, left : left + side]
    size = [max(1, round(SIDE * length / side)) for length in window.shape[::-1]]
    given = np.zeros((SIDE, SIDE, 3), np.uint8)
    interpolation = cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR
    given[: size[1], : size[0]] = cv2.resize(window, size, interpolation=interpolation)[..., None]
    (rows,) = network().run(None, {"image": given, "score": np.array([SCORE], np.float32)})
    rows[:, 1:] = rows[:, 1:] * side + np.tile([left, top], 8)
    return rows


def distinct(rows: np.ndarray) -> list[np.ndarray]:
    """Return the best row for each face: several overlapping windows see it, some of them only a part."""
    kept: list[np.ndarray] = []
    for row in rows[np.argsort(-rows[:, 0], kind="stable")]:
        if all(alike(row[1:5], other[1:5]) < SAME for other in kept):
            kept.append(row)
    return kept


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """Return intersection over union of two boxes, or a half where most of the smaller one lies in the other."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    common = float(np.prod(sides.clip(0)))
    areas = [float(np.prod(box[2:] - box[:2])) for box in (one, other)]
    return max(common / (sum(areas) - common), 0.5 * (common > 0.7 * min(areas)))


def described(image: np.ndarray, row: np.ndarray) -> DetectedFace:
    """Return a face with dlib's landmarks, which are moved where their eyes are not those that the network sees."""
    box, eyes = row[1:5], row[5:9].reshape(2, 2)
    points = landmarks.predict(image, dlib.rectangle(*(round(float(value)) for value in box)))
    own = np.stack([points[landmarks.RIGHT_EYE].mean(0), points[landmarks.LEFT_EYE].mean(0)])
    if np.linalg.norm(own - eyes, axis=1).max() > APART * np.linalg.norm(eyes[0] - eyes[1]):
        matrix = similarity_matrix(own, eyes)
        points = points @ matrix[:, :2].T + matrix[:, 2]
    return DetectedFace(box, float(row[0]), np.asarray(points, np.float32))


@cache
def network():
    return open_session(MODEL, 1)
