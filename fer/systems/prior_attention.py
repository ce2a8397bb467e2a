"""Prior attention: eyes and mouth, each with a network of its own. Project "Facial Expression Recognition Using Prior
Attention" (FERG; its report is not available). The attention comes before the network: landmarks choose the two blocks.

    part           layers                                                              output       parameters
    branch (two,   conv 3×3 (32), batch norm, ReLU, conv 3×3 (64), max-pool 2, ReLU    64×16×16         18,880
    not shared)    dropout, linear 16384→1024, ReLU                                    1024         16,778,240
                   linear 1024→512, ReLU, dropout, linear 512→100                      100             576,100
    fusion         dropout, linear 200→1024, ReLU                                      1024            205,824
                   linear 1024→512, ReLU, dropout, linear 512→7                        7               528,391
                                                                          both views                35,480,655

With `views` eyes, mouth or face there is one branch, and the fusion starts from its 100 features: 18,005,035. What is
in the image is up to the data: the whole face is one plane of the same 32×32 pixels.

35 million parameters do not support the claim of low cost. The variant `small` keeps the two views, their latent 100
features and the fusion, and puts the work into convolutions, each pooled before the next:

    branch         conv 3×3 (16), batch norm, max-pool 2, ReLU                         16×16×16            176
                   conv 3×3 (32), batch norm, max-pool 2, ReLU                         32×8×8            4,672
                   conv 3×3 (64), batch norm, max-pool 2, ReLU                         64×4×4           18,560
                   dropout, linear 1024→100                                            100             102,500
    fusion         dropout, linear 200→128, ReLU, dropout, linear 128→7                7                26,631
                                                                          both views                   278,447

That is 127 times fewer parameters (one view: 139,739) and 14 times fewer multiplications (5.2 against 73.8 million).

The published figure is not this network's on these blocks: every crop was cut from one left-over image, so that it saw
only the geometry of the boxes. That is a defect of the data, not of the network.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from fer.params import Fraction, Input
from fer.systems import register, require_input


def branch(dropout: float) -> nn.Sequential:
    """One view: float (batch, 1, 32, 32) → its latent features (batch, 100)."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
        nn.Dropout(dropout), nn.Linear(16384, 1024), nn.ReLU(),
        nn.Linear(1024, 512), nn.ReLU(), nn.Dropout(dropout), nn.Linear(512, 100),
    )  # fmt: skip


def fusion(features: int, classes: int, dropout: float) -> nn.Sequential:
    """Return the published classifier on the concatenated features of all views."""
    return nn.Sequential(
        nn.Dropout(dropout), nn.Linear(features, 1024), nn.ReLU(),
        nn.Linear(1024, 512), nn.ReLU(), nn.Dropout(dropout), nn.Linear(512, classes),
    )  # fmt: skip


def small_branch(dropout: float) -> nn.Sequential:
    """One view: float (batch, 1, 32, 32) → its latent features (batch, 100)."""
    layers: list[nn.Module] = []
    for before, after in ((1, 16), (16, 32), (32, 64)):
        convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(after), nn.MaxPool2d(2), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout), nn.Linear(1024, 100))


def small_fusion(features: int, classes: int, dropout: float) -> nn.Sequential:
    """Return the classifier of the small network, with one hidden layer."""
    return nn.Sequential(
        nn.Dropout(dropout), nn.Linear(features, 128), nn.ReLU(), nn.Dropout(dropout), nn.Linear(128, classes)
    )


@register
class PriorAttention(nn.Module):
    """Input: float (batch, 2, 32, 32) in [0, 2], eyes then mouth; (batch, 1, 32, 32) where there is one view.

    Output: logits (batch, classes).
    """

    def __init__(
        self,
        classes: int,
        input_spec: Input,
        *,
        views: Literal["both", "eyes", "mouth", "face"] = "both",
        small: bool = False,
        dropout: Fraction = 0.1,
    ):
        super().__init__()
        require_input(input_spec, 32, 1)
        names = ("eyes", "mouth") if views == "both" else (views,)
        self.planes = len(names)
        make_branch, make_fusion = (small_branch, small_fusion) if small else (branch, fusion)
        self.branches = nn.ModuleDict({name: make_branch(dropout) for name in names})
        self.fusion = make_fusion(100 * self.planes, classes, dropout)

    def forward(self, images: Tensor) -> Tensor:
        planes = images.chunk(self.planes, 1)
        latent = [branch(plane) for branch, plane in zip(self.branches.values(), planes, strict=True)]
        return self.fusion(torch.cat(latent, 1))
