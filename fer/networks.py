"""The network of a run: as training starts it, and as training left it."""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fer import layout, systems
from fer.runs import Run
from fer.storage import require, whole


def untrained(run: Run, device: torch.device) -> nn.Module:
    """Return the network with the weights that training starts from, drawn from torch's current random state.

    It is still on the CPU, and laid out for the device.
    """
    network = systems.build(run.experiment.system, run.system, len(run.dataset.classes))
    if "infrared_from" in run.predecessors:
        network.start_infrared(weights_of(run.predecessors["infrared_from"]))
    return channels_last(network, device)


def trained(run: Run, device: torch.device | str = "cpu") -> nn.Module:
    """Return the network with the weights that its folder holds, on the device, for evaluation."""
    architecture = run.system.architecture
    if "weights" in architecture:  # those of a pretrained backbone would be read, or downloaded, to be overwritten
        architecture = architecture | {"weights": "random"}
    system = run.system.model_copy(update={"architecture": architecture})
    network = systems.build(run.experiment.system, system, len(run.dataset.classes))
    network.load_state_dict(weights_of(run))
    return channels_last(network, torch.device(device)).to(device).eval()


def channels_last(network: nn.Module, device: torch.device) -> nn.Module:
    """Let the network compute maps whose channels lie last in memory, which is faster; return it.

    On a GPU all weights lie so, as mixed precision wants it. On a CPU those of the convolutions that see the image do,
    and the maps follow from layer to layer. The others had better not: their gradients never lie so, and to lay them as
    their weights lie took a quarter of a step of ResNet-18 on images of 32 pixels.
    """
    if device.type == "cuda":
        return network.to(memory_format=torch.channels_last)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.in_channels in (1, 3):  # grey or RGB: no map has so few channels
            layer.to(memory_format=torch.channels_last)
    return network


def weights_of(run: Run) -> dict[str, Tensor]:
    """Return the weights that a run's training left."""
    path = require(run.folder / layout.WEIGHTS)
    with whole(path):
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(error) from error
