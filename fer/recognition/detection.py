"""Find every face of a photograph: dlib's HOG detector and its 68 landmarks, at a scale that suits the faces sought."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fer.faces import landmarks

DETECTOR_SIDE = 80  # pixels: the smallest face that dlib's HOG detector finds (its window)
MOST_PIXELS = 4_000_000  # of the detector's copy: bounds time (about 0.2 s) and memory, whatever the photograph
SMALLEST = 40  # pixels: the default of `smallest`


@dataclass(frozen=True)
class DetectedFace:
    """A face in an image.

    `box`: float32 (4,), left, top, right, bottom in pixels of the image, possibly beyond it; `score`: the detector's
    confidence, 0 or more; `landmarks`: float32 (68, 2), x and y in pixels, in iBUG's order.
    """

    box: np.ndarray
    score: float
    landmarks: np.ndarray


def detect(image: np.ndarray, smallest: int = SMALLEST) -> list[DetectedFace]:
    """Return all faces of a grey image, the largest first.

    Args:
        image: uint8 (height, width).
        smallest: side of the smallest face to look for, in pixels. Half of it takes four times as long. In images so
            large that the detector's copy would exceed `MOST_PIXELS`, only larger faces are found.
    """
    height, width = image.shape
    scale = min(DETECTOR_SIDE / smallest, (MOST_PIXELS / (height * width)) ** 0.5)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    copy = image if size == (width, height) else cv2.resize(image, size, interpolation=interpolation)
    found = []
    for score, box in landmarks.detector("hog")(copy):
        if score >= 0:  # weaker ones are looked at for datasets alone, where each image is known to hold a face
            corners = np.array([[box.left(), box.top()], [box.right(), box.bottom()]], float)
            corners = landmarks.rescaled(corners, copy.shape, image.shape).ravel()
            points = landmarks.rescaled(landmarks.predict(copy, box), copy.shape, image.shape)
            found.append(DetectedFace(corners, float(score), points))
    return sorted(found, key=lambda face: -(face.box[2] - face.box[0]))
