"""A recogniser from an ONNX file of `fer export`: ONNX Runtime computes, and PyTorch need not be installed.

The network of such a file takes `images`, uint8 (n, planes × channels, size, size), and returns `probabilities`,
float32 (n, classes). Scaling, mean and standard deviation, the views at test time and the softmax are part of its
graph. What a caller must do first, and what the file is, are in its metadata: the keys of `Description`, each as JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from fer import params
from fer.errors import FerError
from fer.faces.fitting import fit
from fer.machine import EXPORT_EXTRA, cores
from fer.params import Input
from fer.recognition.about import About
from fer.recognition.recognizer import Recognizer, require_one_photograph

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

IMAGES, PROBABILITIES = "images", "probabilities"  # what a file's network takes and answers
BATCH = 256  # images at once: bounds memory


class Description(BaseModel):
    """What an exported file says of itself."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    fer_format: int = Field(1, description="raised when files of an older form can no longer be read")
    classes: list[str] = Field(min_length=2, description="in the order of the probabilities")
    input: Input = Field(description="size and channels of the images; mean and std, which the graph applies")
    planes: int = Field(1, description="pictures of a sample, stacked along the channels: modalities, then views")
    modality: str
    views: str
    crop_size: int | None = Field(None, description="side of the face crop, which is resized to the input's size")
    crop_channels: int | None = None
    eyes: list[tuple[float, float]] | None = Field(
        None, description="where the right and the left eye lie in a crop, x and y, fractions of its side"
    )
    test_time_flip: bool = Field(description="the graph averages the probabilities of an image and its mirror image")
    test_time_crop: int | None = Field(
        None, description="the graph averages the probabilities of five crops of this side"
    )
    about: About = Field(description="accuracy as measured with this very file, if it was")
    export: dict[str, Any] = Field(default_factory=dict, description="precision, and how it compares with the original")

    def metadata(self) -> dict[str, str]:
        """Return the values as texts for an ONNX file's metadata."""
        return {name: json.dumps(value, ensure_ascii=False) for name, value in self.model_dump(mode="json").items()}


def open_session(model: Path | bytes, threads: int | None = None) -> InferenceSession:
    """Return a session on the CPU, at ONNX Runtime's default settings but for the number of threads.

    Raises:
        FerError: ONNX Runtime is not installed, or this is not an ONNX file that it reads.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise FerError(f"an ONNX file needs ONNX Runtime: {EXPORT_EXTRA}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or cores()
    options.log_severity_level = 3
    try:
        given = model if isinstance(model, bytes) else str(model)
        return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base
        name = "the model" if isinstance(model, bytes) else model
        raise FerError(
            f"{name} is not an ONNX file that ONNX Runtime can read: {str(error).splitlines()[0]}"
        ) from error


def describe(session: InferenceSession, path: Path) -> Description:
    """Return what an exported file says of itself."""
    found = session.get_modelmeta().custom_metadata_map
    if "fer_format" not in found:
        raise FerError(f"{path} was not written by `fer export`: its metadata do not say what it takes")
    try:
        values = {name: json.loads(text) for name, text in found.items() if name in Description.model_fields}
    except ValueError as error:
        raise FerError(f"{path}: its metadata are damaged: {error}") from error
    return params.check(Description, values, path)


def classify(session: InferenceSession, images: np.ndarray) -> np.ndarray:
    """Return the probabilities (n, classes) of images, uint8 (n, planes × channels, size, size)."""
    parts = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    return np.concatenate([session.run([PROBABILITIES], {IMAGES: part})[0] for part in parts])


def load_exported(path: Path, device: str = "cpu", threads: int | None = None) -> Recognizer:
    """Return the recogniser of a file that `fer export` wrote (see `fer.load`)."""
    if device not in ("auto", "cpu"):
        raise FerError(f"device {device!r}: an ONNX file runs on the CPU; use cpu or auto")
    session = open_session(path, threads)
    described = describe(session, path)
    require_one_photograph(path, described.modality, described.views)
    if described.crop_size is None or described.eyes is None:
        raise FerError(f"{path} does not say how faces are cropped: its run was trained with an older version")
    return Recognizer(
        classes=tuple(described.classes),
        size=described.crop_size,
        channels=described.crop_channels,
        eyes=tuple(described.eyes),
        about=described.about,
        network=lambda faces: classify(session, fit(faces, described.input)),
    )
