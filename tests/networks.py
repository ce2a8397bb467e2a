"""Networks of the systems in params/systems/, some of their options changed, and images for them."""

import torch
from torch import nn

from fer import params, systems

SMALLER = {"deepfer": 82, "local_global_resnet50": 64, "prior_attention": 32, "resnet18_attention": 64}  # and quicker


def build(name: str, size: int | None = None, channels: int | None = None, classes: int = 7, **options) -> nn.Module:
    """Return a network with the weights of seed 0; what is not given is as in its parameters, but for SMALLER."""
    system, path = params.load_system(name), params.system_file(name)
    architecture = system.architecture | options
    params.check(params.constructor(params.SYSTEMS, name, path), architecture, path, "architecture")
    given = {"size": size or SMALLER.get(name, system.input.size), "channels": channels or system.input.channels}
    input_spec = system.input.model_copy(update=given)
    torch.manual_seed(0)
    return systems.build(name, system.model_copy(update={"architecture": architecture, "input": input_spec}), classes)


def images(name: str, network: nn.Module, count: int = 4, size: int | None = None) -> torch.Tensor:
    """Return random images as the network takes them, the same for the same count and size."""
    input_spec = params.load_system(name).input
    size = size or SMALLER.get(name, input_spec.size)
    random = torch.Generator().manual_seed(1)
    return torch.rand(count, getattr(network, "planes", 1) * input_spec.channels, size, size, generator=random)
