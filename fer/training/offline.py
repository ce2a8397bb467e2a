"""Offline augmentation (Naseem et al. 2025, and its code): five transforms, each drawn several times for every image.

It differs from `fer.training.augmentation` in that the variants are made once, before training, and kept.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import v2 as transforms

from fer.params import OfflineAugmentation

TRANSFORMS = ("rotation", "zoom_out", "perspective", "affine", "horizontal_flip")


def variants(image: Tensor, parameters: OfflineAugmentation, seed: int) -> list[Tensor]:
    """Return the variants of one uint8 image (channels, height, width), in the order of TRANSFORMS, then of draws.

    The seed alone decides the draws: the two images of a pair given the same seed are warped alike. The draws of
    horizontal_flip are all the same, as in the original.
    """
    size = list(image.shape[-2:])
    bilinear = InterpolationMode.BILINEAR
    turn, shear = parameters.rotation, parameters.shear
    steps = {
        "rotation": transforms.RandomRotation(turn, interpolation=bilinear),
        "zoom_out": transforms.Compose([
            transforms.RandomZoomOut(fill=parameters.fill, side_range=(1.0, parameters.zoom_out), p=1.0),
            transforms.Resize(size, antialias=True),
        ]),
        "perspective": transforms.RandomPerspective(parameters.perspective, p=1.0),
        "affine": transforms.RandomAffine(turn, shear=shear, interpolation=bilinear),
        "horizontal_flip": transforms.RandomHorizontalFlip(p=1.0),
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return [steps[name](image) for name in TRANSFORMS for _ in range(parameters.draws)]
