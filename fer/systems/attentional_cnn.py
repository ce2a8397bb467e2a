"""Attentional CNN (Deep-Emotion): Minaee, Minaei, Abdolrashidi, Sensors 21(9):3046, 2021, arXiv 1902.01019, Fig. 3.

A spatial transformer warps the input, then four small convolutions and two dense layers classify it.

    part           layers                                                              output       parameters
    localisation   conv 7×7 (8), max-pool 2, ReLU                                      8×21×21             400
                   conv 5×5 (10), max-pool 2, ReLU                                     10×8×8            2,010
                   linear 640→32, ReLU, linear 32→6 (from the identity)                2×3              20,710
    sampling       affine grid, bilinear                                               1×48×48
    features       conv 3×3 (10), ReLU, conv 3×3 (10), max-pool 2, ReLU                10×22×22          1,010
                   conv 3×3 (10), ReLU, conv 3×3 (10), batch norm, max-pool 2, ReLU    10×9×9            1,840
    classifier     dropout, linear 810→50, ReLU, linear 50→7                           7                40,907
                                                                                       total            66,877

Departs from the paper where it contradicts itself or is silent (`deviations` in params/systems/attentional_cnn.yaml);
kernels, batch norm and the warped input are those of the public re-implementation omarsayed7/Deep-Emotion. Its dropout,
left on at evaluation, is not repeated.
"""

from __future__ import annotations

from torch import Tensor, nn

from fer.layers.spatial_transformer import localisation, start_at_identity, warp
from fer.params import Fraction, Input
from fer.systems import register, require_input


@register
class AttentionalCNN(nn.Module):
    """Input: float (batch, 1, 48, 48) in [-1, 1]. Output: logits (batch, classes)."""

    def __init__(self, classes: int, input_spec: Input, *, dropout: Fraction = 0.5, initial_std: Fraction = 0.0):
        super().__init__()
        require_input(input_spec, 48, 1)
        self.localisation = localisation(input_spec.size)
        self.features = nn.Sequential(
            nn.Conv2d(1, 10, 3), nn.ReLU(), nn.Conv2d(10, 10, 3), nn.MaxPool2d(2), nn.ReLU(),
            nn.Conv2d(10, 10, 3), nn.ReLU(), nn.Conv2d(10, 10, 3), nn.BatchNorm2d(10), nn.MaxPool2d(2), nn.ReLU(),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Dropout(dropout), nn.Linear(810, 50), nn.ReLU(), nn.Linear(50, classes)
        )
        if initial_std:  # the paper's Gaussian; 0 keeps PyTorch's default
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    nn.init.normal_(layer.weight, std=initial_std)
        start_at_identity(self.localisation)

    def transform(self, images: Tensor) -> Tensor:
        """Return the images as the spatial transformer crops, turns and zooms them (same shape)."""
        return warp(images, self.localisation(images))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(self.transform(images)))
