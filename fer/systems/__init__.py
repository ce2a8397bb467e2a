"""Systems: one module each, whose docstring gives the citation, the layers and the departures from the publication.

A system is an `nn.Module` class decorated with `@register`. Its constructor takes the number of classes and the input,
then keyword-only options; their names and types are what `architecture:` in `params/systems/<name>.yaml` may say.
`forward` takes float images (batch, channels, size, size) and returns logits (batch, classes). Several views or
modalities of a sample are planes, stacked along the channels; such a system says how many in `planes` and splits them.

The stage explain finds these optional attributes by name:

    branches: nn.ModuleDict         one module per plane, by the plane's name, in the order of the channels
    attention(images) → dict        weights by name, (batch, positions), the positions of a square map row by row
    gate_maps(images) → dict        the share that passes at each place by name, (batch, side, side), in 0…1
    transform(images) → images      the images as a spatial transformer crops them
    localisation(images) → θ        (batch, 6), the transformer's affine map; absent where there is no transformer

A network that ends in a softmax, which is a defect, says so with a true attribute `softmax`: its outputs are then taken
as probabilities.
"""

from __future__ import annotations

from torch import nn

from fer.errors import FerError
from fer.params import Input, RunParameters, System
from fer.registry import Registry

_systems: Registry[type[nn.Module]] = Registry("fer.systems")
register = _systems.register


def build(name: str, system: System | RunParameters, classes: int) -> nn.Module:
    """Return an untrained network, its weights drawn from torch's random state.

    Args:
        name: of the system, its module in `fer/systems/`.
        system: its parameters, or those of a run: `architecture` and `input` are used.
        classes: number of classes.

    Returns:
        A network that maps float images (n, channels, size, size) to logits (n, classes), on the CPU.

    Raises:
        FerError: there is no such module, or the network cannot take this input.

    Examples:
        >>> import torch
        >>> from fer.params import load_system
        >>> system = load_system("dnn")
        >>> network = build("dnn", system, classes=7)
        >>> network(torch.zeros(2, system.input.channels, system.input.size, system.input.size)).shape
        torch.Size([2, 7])
    """
    return _systems.find(name)(classes, system.input, **system.architecture)


def dense_layers(network: nn.Module) -> list[nn.Linear]:
    """Return the fully connected layers in the order of their definition (the classifier's are the last)."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def require_input(given: Input, sizes: int | range, *channels: int) -> None:
    """Refuse an input outside the sizes and the numbers of channels that a system's layers can take."""
    if given.size in (sizes if isinstance(sizes, range) else (sizes,)) and given.channels in channels:
        return
    if isinstance(sizes, int):
        images = f"{sizes}×{sizes} images"
    elif sizes.step > 1:
        images = f"images whose side is a multiple of {sizes.step},"
    else:
        images = f"square images of {sizes[0]} to {sizes[-1]} pixels a side"
    raise FerError(
        f"this system takes {images} with {' or '.join(map(str, channels))} channel{'s' * (channels != (1,))}; "
        f"input gives size {given.size} and channels {given.channels}"
    )
