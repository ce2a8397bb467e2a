"""Augmentation of a batch on its device, with kornia: every image gets its own draw."""

from __future__ import annotations

import kornia.augmentation as kornia
from torch import nn

from fer.params import Augmentation

GREY = 0.5


def augmenter(parameters: Augmentation) -> nn.Module:
    """Return a module that augments float images in [0, 1] (batch, channels, height, width).

    Flip, then turn, shift and zoom, replicating the border, then light and colour, then an erased rectangle. Planes
    stacked along the channels get the same draw. Draws come from torch's global random state, which the training loop
    seeds at every epoch.
    """
    steps: list[nn.Module] = []
    if parameters.horizontal_flip:
        steps.append(kornia.RandomHorizontalFlip(p=parameters.horizontal_flip))
    if parameters.rotation or parameters.translation or parameters.scale:
        shift, zoom = parameters.translation, parameters.scale
        steps.append(
            kornia.RandomAffine(parameters.rotation, (shift, shift), (1 - zoom, 1 + zoom), p=1.0, padding_mode="border")
        )
    if parameters.brightness or parameters.contrast or parameters.saturation:
        steps.append(kornia.ColorJitter(parameters.brightness, parameters.contrast, parameters.saturation, p=1.0))
    if parameters.erasing:
        steps.append(kornia.RandomErasing(scale=(0.02, 0.2), ratio=(0.3, 3.3), value=GREY, p=parameters.erasing))
    return nn.Sequential(*steps)  # kornia's own container costs another millisecond a batch
