"""Forward passes over altered copies of one image, a few at a time: what occlusion and the scores share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fer.training.prediction import probabilities_of

BATCH = 64


@torch.inference_mode()
def altered_probabilities(network: nn.Module, image: Tensor, masks: Tensor, other: Tensor) -> Tensor:
    """Return the class probabilities of copies of an image in which the pixels under a mask come from another.

    Args:
        image: float (planes·channels, side, side).
        masks: bool (copies, planes, side, side); a mask covers all channels of its plane.
        other: what stands under the mask, float, of the image's shape or a single number.

    Returns:
        float32 (copies, classes).
    """
    channels = len(image) // masks.shape[1]
    answers = []
    for some in masks.split(BATCH):
        copies = torch.where(some.to(image.device).repeat_interleave(channels, 1), other, image)
        answers.append(probabilities_of(network, network(copies).float()))
    return torch.cat(answers).cpu()


@torch.inference_mode()
def probabilities(network: nn.Module, images: Tensor) -> Tensor:
    """Return the class probabilities (n, classes) of images as they are."""
    return torch.cat([probabilities_of(network, network(some).float()) for some in images.split(BATCH)]).cpu()
