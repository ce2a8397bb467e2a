"""The planes of a network's input (its views or modalities), and the part of the network that reads each."""

from __future__ import annotations

from torch import nn

WHOLE = "image"  # the one plane of a network that has no branches


def branches_of(network: nn.Module) -> dict[str, nn.Module]:
    """Return, for each plane in the order of its channels, the module that reads it: a branch, or the whole network."""
    planes = getattr(network, "planes", 1)
    branches = getattr(network, "branches", None)
    if isinstance(branches, nn.ModuleDict) and len(branches) == planes:
        return dict(branches.items())
    names = [WHOLE] if planes == 1 else [f"plane {number}" for number in range(1, planes + 1)]
    return dict.fromkeys(names, network)
