"""Augmentation of a batch on its device, with kornia: every image gets its own draw of flip, turn, shift and zoom."""

from __future__ import annotations

import kornia.augmentation as kornia
from torch import nn

from fer.params import Augmentation


def augmenter(parameters: Augmentation) -> nn.Module:
    """Return a module that warps float images (batch, channels, height, width), replicating the border.

    Draws come from torch's global random state, which the training loop seeds at every epoch.
    """
    steps: list[nn.Module] = []
    if parameters.horizontal_flip:
        steps.append(kornia.RandomHorizontalFlip(p=parameters.horizontal_flip))
    if parameters.rotation or parameters.translation or parameters.scale:
        shift, zoom = parameters.translation, parameters.scale
        steps.append(
            kornia.RandomAffine(parameters.rotation, (shift, shift), (1 - zoom, 1 + zoom), p=1.0, padding_mode="border")
        )
    return nn.Sequential(*steps)  # kornia's own container costs another millisecond a batch
