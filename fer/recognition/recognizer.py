"""A trained network with everything around it: from a photograph to the expression of each face in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fer.errors import FerError
from fer.faces import crops
from fer.layout import PARAMETERS
from fer.recognition.about import About
from fer.recognition.detection import SMALLEST, DetectedFace, detect
from fer.recognition.media import read_image
from fer.runs import require_run

if TYPE_CHECKING:
    from collections.abc import Callable

    Classify = Callable[[np.ndarray], np.ndarray]  # uint8 (n, size, size[, 3]) → float32 (n, classes)

PRETRAINED = Path(__file__).parents[1] / "pretrained"


@dataclass(frozen=True)
class Face:
    """A face and its expression.

    `box`: float32 (4,), left, top, right, bottom in pixels of the image; `landmarks`: float32 (68, 2), x and y in
    pixels, iBUG's order; `detection_score`: the detector's confidence, 0 or more; `classes`: names of the expressions;
    `scores`: float32 (classes,), their probabilities, which sum to 1.

    Examples:
        >>> face = Face(np.array([10, 10, 90, 90]), np.zeros((68, 2)), 1.2, ("sad", "happy"), np.array([0.25, 0.75]))
        >>> face.label, face.confidence
        ('happy', 0.75)
        >>> face.probabilities
        {'sad': 0.25, 'happy': 0.75}
    """

    box: np.ndarray
    landmarks: np.ndarray
    detection_score: float
    classes: tuple[str, ...]
    scores: np.ndarray

    @property
    def probabilities(self) -> dict[str, float]:
        """The probability of each expression, in the order of the classes."""
        return {name: float(value) for name, value in zip(self.classes, self.scores, strict=True)}

    @property
    def label(self) -> str:
        """The most probable expression."""
        return self.classes[int(self.scores.argmax())]

    @property
    def confidence(self) -> float:
        """The probability of `label`, in [0, 1]."""
        return float(self.scores.max())


@dataclass(frozen=True)
class Recognizer:
    """Finds faces and recognises their expressions. Made by `load`.

    `classes`: names of the expressions; `size` and `channels` (1 grey, 3 RGB): of the face crops that `classify` takes;
    `eyes`: where the right and the left eye lie in such a crop, fractions of its side, x and y; `about`: what the
    network was trained on, how accurate it is and what it must not be used for.

    Examples:
        >>> import fer
        >>> from fer.datasets import synthetic
        >>> recognizer = fer.load("fer2013-fer_baseline")
        >>> recognizer.size, recognizer.channels
        (48, 1)
        >>> drawing = synthetic.render("happiness", subject=1, take=0).visible[..., ::-1]  # RGB
        >>> [face.landmarks.shape for face in recognizer(drawing)]
        [(68, 2)]
    """

    classes: tuple[str, ...]
    size: int
    channels: int
    eyes: tuple[tuple[float, float], tuple[float, float]]
    about: About
    network: Classify

    def __call__(
        self, images: str | Path | np.ndarray | Sequence, smallest: int = SMALLEST, detector: str | None = None
    ) -> list[Face] | list[list[Face]]:
        """Return the faces of an image, the largest first; of a list of images, a list for each.

        Args:
            images: a path, a PIL image, or uint8 pixels, grey (height, width), RGB (height, width, 3) or RGBA; or a
                list of these. Transparent pixels are black. A file is turned as its EXIF orientation says; of a PIL
                image, `PIL.ImageOps.exif_transpose` does that.
            smallest: side of the smallest face to look for, in pixels, 1 or more.
            detector: "blazeface", which finds more faces, faster, and needs ONNX Runtime; or "hog" (dlib); None:
                blazeface where ONNX Runtime is installed.

        Raises:
            FerError: a file is missing or not an image, an array is not uint8 of such a shape, or `smallest` is not
                positive.

        Examples:
            >>> import numpy as np, fer
            >>> recognizer = fer.load("fer2013-fer_baseline")
            >>> recognizer(np.zeros((120, 160), np.uint8))  # no face in the dark
            []
        """
        if smallest < 1:
            raise FerError(f"smallest: given {smallest}; expected a side in pixels, 1 or more")
        if isinstance(images, list | tuple):
            pixels = [as_pixels(image) for image in images]
            find = find_faces(detector)
            found = [find(crops.grey(image), smallest) for image in pixels]
            return self.recognise(pixels, found)
        return self([images], smallest, detector)[0]

    def recognise(self, images: list[np.ndarray], detections: list[list[DetectedFace]]) -> list[list[Face]]:
        """Return the faces of images whose faces are detected already; all are classified as one batch."""
        cut = [self.crop(image, face) for image, found in zip(images, detections, strict=True) for face in found]
        scores = iter(self.classify(np.stack(cut)) if cut else ())
        return [
            [Face(item.box, item.landmarks, item.score, self.classes, next(scores)) for item in found]
            for found in detections
        ]

    def crop(self, image: np.ndarray, face: DetectedFace) -> np.ndarray:
        """Return a face as the network was trained to see it: uint8 (size, size) or (size, size, 3)."""
        pixels = crops.grey(image) if self.channels == 1 else crops.converted(image, 3)
        return crops.similarity(pixels, face.landmarks, self.size, self.eyes)

    def classify(self, faces: np.ndarray) -> np.ndarray:
        """Return the probabilities of face crops, float32 (n, classes).

        Args:
            faces: uint8 (n, size, size) for 1 channel, (n, size, size, 3) in RGB order for 3.

        Raises:
            FerError: the crops have another shape or dtype.

        Examples:
            >>> import numpy as np, fer
            >>> recognizer = fer.load("fer2013-fer_baseline")
            >>> recognizer.classify(np.zeros((2, 48, 48), np.uint8)).shape
            (2, 7)
        """
        wanted = (self.size, self.size) + ((3,) if self.channels == 3 else ())
        if faces.dtype != np.uint8 or faces.shape[1:] != wanted:
            shape = "(n, " + ", ".join(map(str, wanted)) + ")"
            raise FerError(f"face crops are {faces.dtype} {faces.shape}; expected uint8 {shape}")
        return self.network(faces)


def load(name: str | Path, device: str = "cpu", threads: int | None = None) -> Recognizer:
    """Return a recogniser that is ready to use.

    Args:
        name: a released name ("fer2013-fer_baseline"), the folder of a run ("runs/fer2013-dnn/0.0"), or an ONNX file
            of `fer export` ("model.onnx"), which needs ONNX Runtime instead of PyTorch, or a model that `fer track`
            registered in MLflow ("models:/fer2013@champion").
        device: auto, cpu, cuda or mps; an ONNX file runs on the CPU.
        threads: CPU threads; None: as many as the process may use.

    Raises:
        FerError: there is no such model, or its network needs more than one photograph of a face (such as an infrared
            image).

    Examples:
        >>> import fer
        >>> recognizer = fer.load("fer2013-fer_baseline")
        >>> recognizer.classes
        ('angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral')
    """
    if str(name).startswith("models:/"):
        name = registered(str(name))
    if Path(name).suffix == ".onnx":
        from fer.recognition.exported import load_exported  # imports ONNX Runtime

        if not Path(name).is_file():
            raise FerError(f"{name} does not exist; `fer export` writes such a file")
        return load_exported(Path(name), device, threads)
    from fer.recognition.trained import load_trained  # imports torch

    return load_trained(find(name), device, threads)


def registered(address: str) -> Path:
    """Return the ONNX file of a model in MLflow's registry (MLFLOW_TRACKING_URI), fetched where it lies elsewhere."""
    try:
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError as error:
        raise FerError(f'{address} needs MLflow: pip install -e ".[engines,export]"') from error
    try:
        folder = Path(download_artifacts(address))
    except MlflowException as error:
        raise FerError(f"{address}: {error.message}. `fer track` registers models") from error
    found = sorted(folder.rglob("*.onnx"))
    if len(found) != 1:
        raise FerError(f"{address} holds {len(found)} ONNX files; expected the one that `fer track` registers")
    return found[0]


def require_one_photograph(name: str | Path, modality: str, views: str) -> None:
    """Refuse a network that needs more than one photograph of a face."""
    if modality != "visible":
        raise FerError(f"{name}: the network takes {modality} images; a photograph is a visible one")
    if views != "face":
        raise FerError(f"{name}: the network takes {views} of a face, not the face; this is not supported")


def detector_name(given: str | None = None) -> str:
    """Return the name of the detector: the given one, else the better of the installed ones."""
    if given not in ("blazeface", "hog", None):
        raise FerError(f"unknown detector {given!r}; expected blazeface or hog")
    return given or ("blazeface" if find_spec("onnxruntime") else "hog")


def find_faces(detector: str | None = None) -> Callable[[np.ndarray, int], list[DetectedFace]]:
    """Return the function that finds the faces of a grey image, given a detector's name (see `Recognizer.__call__`)."""
    if detector_name(detector) == "hog":
        return detect
    from fer.recognition import blazeface  # imports ONNX Runtime

    return blazeface.detect


def find(name: str | Path) -> Path:
    """Return the folder of a model: a run's, or that of a released one."""
    if str(name) in released() and not (Path(name) / PARAMETERS).exists():
        return PRETRAINED / str(name)
    if Path(name).is_dir():
        require_run(Path(name))
        return Path(name)
    raise FerError(
        f"no model is called {str(name)!r}. Released: {', '.join(released()) or 'none'}. "
        "Or give the folder of a trained run, such as runs/fer2013-dnn/0.0, or an ONNX file of `fer export`"
    )


def released() -> list[str]:
    """Return the names of the models that the package carries."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/weights.safetensors"))


def as_pixels(image: Any) -> np.ndarray:
    """Return an image as uint8, grey (height, width) or RGB (height, width, 3)."""
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image) and not image.mode.startswith(("I", "F")):  # these have more than 8 bits
        image = image if image.mode in ("L", "RGB") else image.convert("RGBA")  # a palette's codes are no pixels
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)):
        raise FerError(
            f"an image is {pixels.dtype} {pixels.shape}; expected a path, or uint8 pixels, grey (height, width) or RGB "
            "(height, width, 3)"
        )
    if not pixels.size:
        raise FerError(f"an image has no pixels: its shape is {pixels.shape}")
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = crops.composited(pixels)
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else np.ascontiguousarray(pixels)
