"""Spatial transformer: Jaderberg, Simonyan, Zisserman, Kavukcuoglu, NeurIPS 2015, arXiv 1506.02025.

A localisation network reads six numbers θ from a grey image, the 2×3 matrix of an affine map, and the image or map
to be warped is sampled along it: bilinearly, with zeros outside. Shared by `attentional_cnn` and `deepfer`; not a
system itself.

    layers                                             output for 48×48   parameters   for 256×256   parameters
    conv 7×7 (8), max-pool 2, ReLU                     8×21×21                   400   8×125×125            400
    conv 5×5 (10), max-pool 2, ReLU                    10×8×8                  2,010   10×60×60           2,010
    linear →32, ReLU, linear 32→6 (from the identity)  2×3                    20,710   2×3            1,152,230
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def localisation(size: int) -> nn.Sequential:
    """Return the network from grey images (batch, 1, size, size) to θ (batch, 6), with PyTorch's random weights."""
    side = ((size - 6) // 2 - 4) // 2
    return nn.Sequential(
        nn.Conv2d(1, 8, 7), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(8, 10, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(10 * side**2, 32), nn.ReLU(), nn.Linear(32, 6),
    )  # fmt: skip


def start_at_identity(localisation: nn.Sequential) -> None:
    """Make θ the identity for every image until the first step of training."""
    nn.init.zeros_(localisation[-1].weight)
    with torch.no_grad():
        localisation[-1].bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))


def warp(values: Tensor, theta: Tensor) -> Tensor:
    """Return images or features (batch, channels, height, width) sampled along θ (batch, 6)."""
    grid = functional.affine_grid(theta.view(-1, 2, 3), list(values.shape), align_corners=False)
    return functional.grid_sample(values, grid, align_corners=False)
