"""export: from a trained run to one ONNX file, compared with its original at ONNX Runtime's default settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from fer.devices import choose_device
from fer.errors import FerError
from fer.evaluation.intervals import accuracy_interval
from fer.evaluation.predictions import clusters_of
from fer.exporting.examples import Examples, missing_data, random_images, test_images, training_images
from fer.exporting.graph import images_shape, planes_of, to_onnx
from fer.exporting.parity import compare
from fer.exporting.precision import CALIBRATION, to_half, to_int8
from fer.faces.framing import eyes_of
from fer.layout import Layout
from fer.leakage import leaked
from fer.networks import load_network
from fer.params import RunParameters
from fer.recognition.about import about
from fer.recognition.exported import Description, open_session
from fer.recognition.exported import classify as classify_exported
from fer.recognition.recognizer import find
from fer.runs import TrainedRun
from fer.storage import read_json, write_bytes
from fer.training.prediction import classify

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn


@dataclass(frozen=True)
class Exported:
    """An exported model: the file's bytes, what it says of itself, and the images on which it was compared."""

    data: bytes
    description: Description
    on: Examples

    def __str__(self) -> str:
        done = self.description.export
        line = f"{done['precision']}, {len(self.data) / 1e6:.1f} MB; on {self.on} "
        line += f"{done['equal_labels']:.2%} of the labels are PyTorch's, probabilities differ by up to "
        line += f"{done['largest_difference']:.1e}"
        if "accuracy" not in done:
            return f"{line}; accuracy not measured: {done['no_data']}"
        return f"{line}; test accuracy {done['accuracy']:.2%} (PyTorch {done['original_accuracy']:.2%})"


def find_run(name: str | Path, root: Path | None = None) -> TrainedRun:
    """Return a trained run by its folder, by its name in a study (`fer2013-dnn/0.0`), or as a released model.

    Args:
        root: folder of the study's artifacts; None: the one that the run lies in, else the current folder.
    """
    if Path(name).suffix == ".onnx":
        raise FerError(f"{name} is an ONNX file; expected a released model, or the folder of a trained run")
    inside = (root or Path()) / "runs" / name
    folder = inside if (inside / "parameters.json").exists() else find(name)
    if root is None and folder.absolute().parents[1].name == "runs":
        root = folder.parents[2] if len(folder.parents) > 2 else folder.absolute().parents[2]
    return TrainedRun(folder, Layout(root or Path()))


def export(run: TrainedRun, precision: str = "fp32", threads: int = 1) -> Exported:
    """Return a run's network as an ONNX model that has been compared with PyTorch's answers.

    It is compared on the whole test part if the data that the run was trained on are available, else on random images.

    Args:
        precision: fp32; fp16, weights of half the size; int8, a quarter of it, calibrated on training images.

    Raises:
        FerError: the file's answers would differ too much from its network's (`fer.exporting.parity`), a package is
            missing, or int8 is requested and the training images are not available.

    Example:
        >>> run = find_run("fer2013-fer_baseline")
        >>> run.parameters.system
        'fer_baseline'
        >>> exported = export(run, "fp16")  # doctest: +SKIP
        >>> _ = Path("model.onnx").write_bytes(exported.data)  # doctest: +SKIP
    """
    choose_device("cpu", threads)
    network, parameters = load_network(run.folder)
    lacking = missing_data(run)
    if precision == "int8" and lacking:
        raise FerError(
            f"int8 is calibrated on the images that {run.name} was trained on, and {lacking}. Name the folder of its "
            "study with --root, or use --precision fp16"
        )
    model = to_onnx(network.to(memory_format=torch.contiguous_format), parameters)
    if precision == "fp16":
        model = to_half(model)
    elif precision == "int8":
        model = to_int8(model, training_images(run, CALIBRATION))
    on = random_images(images_shape(network, parameters.input)) if lacking else test_images(run)
    description = describe(run, network, parameters)
    session = open_session(model.SerializeToString(), threads)
    original = classify(network, torch.from_numpy(on.images), parameters)
    exported = classify_exported(session, on.images)
    parity = compare(original, exported)
    parity.require(precision, str(on))
    facts = {
        "precision": precision,
        "compared_on": str(on),
        "largest_difference": parity.largest,
        "equal_labels": parity.equal,
        "torch": version("torch"),
        "onnxruntime": version("onnxruntime"),
    }
    if lacking:
        facts["no_data"] = lacking
    else:  # the accuracy of the very file takes the place of its network's
        found = tested(run, exported.argmax(1) == on.labels, on.samples)
        facts |= {"accuracy": found["accuracy"], "original_accuracy": float((original.argmax(1) == on.labels).mean())}
        description = description.model_copy(update={"about": replace(description.about, **found)})
    description = description.model_copy(update={"export": facts})
    return Exported(with_metadata(model, description), description, on)


def describe(run: TrainedRun, network: nn.Module, parameters: RunParameters) -> Description:
    """Return what the file says of itself before it has been measured."""
    alignment, counts = parameters.alignment, run.layout.counts(parameters.dataset)
    known = about(run.folder, parameters)
    if known.synthetic is None and counts.exists() and not missing_data(run):
        known = replace(known, synthetic=read_json(counts)["synthetic"])
    return Description(
        classes=parameters.classes,
        input=parameters.input,
        planes=planes_of(network),
        modality=parameters.modality,
        views=parameters.views,
        crop_size=alignment.size if alignment else None,
        crop_channels=alignment.channels if alignment else None,
        eyes=list(eyes_of(alignment)) if alignment else None,
        test_time_flip=parameters.recipe.test_time_flip,
        test_time_crop=parameters.recipe.test_time_crop,
        about=known,
    )


def tested(run: TrainedRun, correct: np.ndarray, samples: np.ndarray) -> dict:
    """Return what a model says of its test part (`About`): number, accuracy, interval, and the same without copies.

    Args:
        run: whose data were tested on.
        correct: bool (n,), which images were classified correctly.
        samples: int (n,), their rows in the dataset's index.
    """
    interval = accuracy_interval(correct, clusters_of(run.data["index"], samples))
    found = {"n": len(correct), "accuracy": float(correct.mean()), "interval": (interval.low, interval.high)}
    audit = run.layout.audit(run.parameters.dataset, run.parameters.protocol)
    if audit.exists():
        clean = ~np.isin(samples, leaked(read_json(audit)))
        found |= {"n_without_leaked": int(clean.sum())}
        found |= {"accuracy_without_leaked": float(correct[clean].mean()) if clean.any() else None}
    return found


def with_metadata(model: ModelProto, description: Description) -> bytes:
    """Return the bytes of a model that carries its description."""
    import onnx

    onnx.helper.set_model_props(model, description.metadata())
    model.producer_name = "fer export"
    return model.SerializeToString()


def write(exported: Exported, output: Path) -> str:
    """Write the file; return a line for the terminal."""
    write_bytes(output, exported.data)
    return f"{output} ({exported})"


def file_name(run: TrainedRun, precision: str) -> Path:
    """Return what a run's exported file is called where the user names none."""
    parts = [run.name]
    parts += [run.folder.name] if run.folder.absolute().parents[1].name == "runs" else []
    parts += [precision] if precision != "fp32" else []
    return Path(".".join([*parts, "onnx"]))
