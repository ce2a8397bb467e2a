"""Face detection and 68 landmarks with dlib (King, Dlib-ml, JMLR 2009; Kazemi and Sullivan, CVPR 2014).

The landmark model was trained on iBUG 300-W, whose licence excludes commercial use. Landmark order is iBUG's:
jaw 0–16, right brow 17–21, left brow 22–26, nose 27–35, right eye 36–41, left eye 42–47, mouth 48–67
("right" is the subject's right, the image's left).
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import cv2
import numpy as np

from fer.errors import FerError

COUNT = 68
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
MODEL = "shape_predictor_68_face_landmarks.dat"


def model_path() -> Path:
    """Return the landmark model's file inside the `face_recognition_models` wheel (which cannot be imported)."""
    try:
        found = [entry for entry in files("face_recognition_models") or [] if entry.name == MODEL]
    except PackageNotFoundError:
        found = []
    if not found:
        raise FerError(f"{MODEL} is not installed: pip install face_recognition_models")
    return Path(found[0].locate())


@cache
def models():
    """Return dlib's (detector, shape predictor), loaded once a process."""
    import dlib  # only workers pay for it

    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(model_path()))


def prepare(image: np.ndarray, enlarge: float, padding: float) -> tuple[np.ndarray, float]:
    """Return what the detector sees of a grey uint8 image (enlarged, border replicated) and the border in pixels."""
    large = cv2.resize(image, None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_CUBIC)
    border = round(padding * max(large.shape[:2]))
    return cv2.copyMakeBorder(large, border, border, border, border, cv2.BORDER_REPLICATE), border


def detect(image: np.ndarray, enlarge: float = 1.0, padding: float = 0.0) -> np.ndarray | None:
    """Return the 68 landmarks of the most confident face, or None.

    Args:
        image: uint8 (height, width), grey.
        enlarge: factor by which the detector's copy is enlarged; dlib wants faces of 80 pixels.
        padding: border replicated around that copy, as a fraction of its longer side.

    Returns:
        float32 (68, 2), x and y in pixels of `image`, possibly outside it.
    """
    detector, predictor = models()
    prepared, border = prepare(image, enlarge, padding)
    boxes, scores, _ = detector.run(prepared, 0)
    if not boxes:
        return None
    shape = predictor(prepared, boxes[int(np.argmax(scores))])
    points = np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float32)
    return ((points - border + 0.5) / enlarge - 0.5).astype(np.float32)
