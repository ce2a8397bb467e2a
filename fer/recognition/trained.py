"""A recogniser from the folder of a run: PyTorch computes."""

from __future__ import annotations

from pathlib import Path

import torch

from fer.devices import choose_device
from fer.errors import FerError
from fer.faces.fitting import fit
from fer.faces.framing import eyes_of
from fer.machine import cores
from fer.networks import load_network
from fer.recognition.about import about
from fer.recognition.recognizer import Recognizer, require_one_photograph
from fer.training.prediction import classify


def load_trained(folder: Path, device: str = "cpu", threads: int | None = None) -> Recognizer:
    """Return the recogniser of a run's folder (see `fer.load`)."""
    chosen = choose_device(device, threads or cores())
    network, parameters = load_network(folder, chosen)
    require_one_photograph(folder, parameters.modality, parameters.views)
    alignment = parameters.alignment
    if alignment is None:
        raise FerError(f"{folder}: parameters.json does not say how faces were cropped; train again with this version")

    return Recognizer(
        classes=tuple(parameters.classes),
        size=alignment.size,
        channels=alignment.channels,
        eyes=eyes_of(alignment),
        about=about(folder, parameters),
        network=lambda faces: classify(network, torch.from_numpy(fit(faces, parameters.input)).to(chosen), parameters),
    )
