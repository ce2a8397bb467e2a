"""A system's own attention, where it has one with a place in the image, by the methods that `fer.systems` names."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

NONE = "The system has no attention with a place in the image; a gate on pooled features does not count as one."
STEPS = (
    "Attention, global: step t has read the positions up to t in reading order, so that its weight is not that of "
    "position t alone."
)
UNMOVED = "The spatial transformer leaves these images as they are."


@torch.inference_mode()
def own_maps(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return the maps of the system's own attention by name, float32 (n, side, side); {} if it has none.

    Attention weights over positions are multiples of an even weight, so that 1 is indifference; gates are the share
    that passes, in [0, 1]. Both are upsampled bilinearly. A sequence of one step, or of a length that is no square, has
    no places. A system of several planes has none here either: its weights belong to no single plane.
    """
    if getattr(network, "planes", 1) > 1:
        return {}
    maps = {}
    if hasattr(network, "attention"):
        for name, weights in network.attention(images).items():
            steps = weights.shape[1]
            grid = math.isqrt(steps)
            if grid > 1 and grid**2 == steps:
                maps[f"attention, {name}"] = steps * weights.unflatten(1, (grid, grid))
    if hasattr(network, "gate_maps"):
        maps |= network.gate_maps(images)
    side = images.shape[-1]
    return {
        name: functional.interpolate(values[:, None].float(), (side, side), mode="bilinear")[:, 0].cpu()
        for name, values in maps.items()
    }


@torch.inference_mode()
def crops_of_transformer(network: nn.Module, images: Tensor) -> Tensor | None:
    """Return the images as the system's spatial transformer crops them (same shape), or None if it has none in use."""
    if not hasattr(network, "transform"):
        return None
    crops = network.transform(images)
    return None if torch.equal(crops, images) else crops.cpu()


def remarks(network: nn.Module, maps: dict[str, Tensor], crops: Tensor | None) -> list[str]:
    """Return what a reader must know of the system's own attention."""
    found = [] if maps or crops is not None else [NONE]
    if "attention, global" in maps:
        found.append(STEPS)
    if hasattr(network, "transform") and crops is None:
        found.append(UNMOVED)
    return found
