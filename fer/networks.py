"""The network of a run: as training starts it, and as training left it.

Its weights lie with their channels last, which convolutions on a CPU compute with faster and mixed precision on a GPU
wants; the maps between the layers follow.
"""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fer import layout, systems
from fer.runs import Run
from fer.storage import require, whole


def untrained(run: Run) -> nn.Module:
    """Return the network with the weights that training starts from, drawn from torch's current random state."""
    network = systems.build(run.experiment.system, run.system, len(run.dataset.classes))
    if "infrared_from" in run.predecessors:
        network.start_infrared(weights_of(run.predecessors["infrared_from"]))
    return network.to(memory_format=torch.channels_last)


def trained(run: Run, device: torch.device | str = "cpu") -> nn.Module:
    """Return the network with the weights that its folder holds, on the device, for evaluation."""
    architecture = run.system.architecture
    if "weights" in architecture:  # those of a pretrained backbone would be read, or downloaded, to be overwritten
        architecture = architecture | {"weights": "random"}
    system = run.system.model_copy(update={"architecture": architecture})
    network = systems.build(run.experiment.system, system, len(run.dataset.classes))
    network.load_state_dict(weights_of(run))
    return network.to(device, memory_format=torch.channels_last).eval()


def weights_of(run: Run) -> dict[str, Tensor]:
    """Return the weights that a run's training left."""
    path = require(run.folder / layout.WEIGHTS)
    with whole(path):
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(error) from error
