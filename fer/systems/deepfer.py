"""DeepFER: a students' project (AIUB) built on Deep-Emotion (Minaee, Minaei, Abdolrashidi, Sensors 21(9):3046, 2021).

Seven valid convolutions and four dense layers on large grey faces; every convolution is followed by ReLU, then batch
norm, whose parameters the table counts.

    layers                                  output       parameters
    conv 7×7 (32)                           32×250×250        1,664
    conv 5×5 (64), max-pool 2               64×123×123       51,392
    conv 5×5 (128)                          128×119×119     205,184
    conv 3×3 (128), max-pool 2              128×58×58       147,840
    conv 3×3 (256)                          256×56×56       295,680
    conv 3×3 stride 2 (256), max-pool 2     256×13×13       590,592
    conv 2×2 (128)                          128×12×12       131,456
    linear 18,432→256, ReLU                 256           4,718,848
    linear 256→128, ReLU, dropout           128              32,896
    linear 128→32, ReLU, linear 32→7        7                 4,359
                                            total         6,179,911

The project speaks of attention, but its spatial transformer is defined and never called. It could not have been: its
28,090 inputs belong to images of 226 or 227 pixels, at 256 there are 36,000. The option `stn` says what one does:

    off        as published
    input      the transformer warps the image                                    7,334,551 parameters
    features   it warps the last convolution's map, as Deep-Emotion's figure has  7,334,551 parameters

All three start from the same weights with the same answers, because the transformer starts at the identity. Unlike the
project, which took only 256 pixels, any side from 82 is accepted, for cheap studies; the first dense layer adapts.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from fer.layers.spatial_transformer import localisation, start_at_identity, warp
from fer.params import Fraction, Input
from fer.systems import register, require_input

SIZES = range(82, 257)  # the smallest leaves 2×2 of the last map, so that batch norm can train on a single image


@register
class DeepFER(nn.Module):
    """Input: float (batch, 1, size, size) in [0, 1]; published size 256. Output: logits (batch, classes)."""

    def __init__(
        self,
        classes: int,
        input_spec: Input,
        *,
        stn: Literal["off", "input", "features"] = "off",
        dropout: Fraction = 0.35,
    ):
        super().__init__()
        require_input(input_spec, SIZES, 1)
        self.stn = stn
        self.features = nn.Sequential(
            *convolution(1, 32, 7),
            *convolution(32, 64, 5), nn.MaxPool2d(2),
            *convolution(64, 128, 5),
            *convolution(128, 128, 3), nn.MaxPool2d(2),
            *convolution(128, 256, 3),
            *convolution(256, 256, 3, stride=2), nn.MaxPool2d(2),
            *convolution(256, 128, 2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(128 * side_of_the_map(input_spec.size) ** 2, 256), nn.ReLU(),
            nn.Linear(256, 128), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, classes),
        )  # fmt: skip
        if stn != "off":  # last, so that the other layers start from the same weights with and without it
            self.localisation = localisation(input_spec.size)
            start_at_identity(self.localisation)

    def transform(self, images: Tensor) -> Tensor:
        """Return the images as the spatial transformer crops, turns and zooms them (same shape)."""
        return images if self.stn == "off" else warp(images, self.localisation(images))

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(self.transform(images) if self.stn == "input" else images)
        if self.stn == "features":
            features = warp(features, self.localisation(images))
        return self.classifier(features)


def convolution(channels: int, filters: int, kernel: int, stride: int = 1) -> tuple[nn.Module, ...]:
    """Return a convolution with ReLU and batch normalisation after it, in the project's order."""
    return nn.Conv2d(channels, filters, kernel, stride), nn.ReLU(), nn.BatchNorm2d(filters)


def side_of_the_map(size: int) -> int:
    """Return the side of the last convolution's output for square images of `size` pixels."""
    side = (size - 6 - 4) // 2
    side = (side - 4 - 2) // 2
    side = ((side - 2 - 3) // 2 + 1) // 2
    return side - 1
