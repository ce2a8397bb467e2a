"""A recogniser from the folder of a run: PyTorch computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from fer.devices import choose_device
from fer.errors import FerError
from fer.faces.fitting import fit
from fer.faces.framing import eyes_of
from fer.machine import cores
from fer.networks import load_network
from fer.recognition.about import about
from fer.recognition.recognizer import Recognizer, require_one_photograph
from fer.training.data import Part
from fer.training.prediction import predict, probabilities_of


def load_trained(folder: Path, device: str = "cpu", threads: int | None = None) -> Recognizer:
    """Return the recogniser of a run's folder (see `fer.load`)."""
    chosen = choose_device(device, threads or cores())
    network, parameters = load_network(folder, chosen)
    require_one_photograph(folder, parameters.modality, parameters.views)
    alignment = parameters.alignment
    if alignment is None:
        raise FerError(f"{folder}: parameters.json does not say how faces were cropped; train again with this version")

    def classify(faces: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(fit(faces, parameters.input)).to(chosen)
        part = Part(images, torch.zeros(len(images), dtype=torch.int64), np.arange(len(images)))
        answers = predict(network, part, parameters.input, parameters.recipe)
        return probabilities_of(network, answers).cpu().numpy()

    return Recognizer(
        classes=tuple(parameters.classes),
        size=alignment.size,
        channels=alignment.channels,
        eyes=eyes_of(alignment),
        about=about(folder, parameters),
        network=classify,
    )
