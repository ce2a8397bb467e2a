"""The benchmark's own reference: a small residual network with channel gates, trained from random weights.

No publication; its parts are: residual blocks (He et al., CVPR 2016), a shortcut that averages before it narrows
(ResNet-D; He et al., CVPR 2019), squeeze and excitation (Hu, Shen, Sun, CVPR 2018), stochastic depth (Huang et al.,
ECCV 2016). For one grey image of 48×48, and 7 classes:

    layers                                             output      parameters     MFLOPs
    conv 3×3 (32), batch norm, ReLU                    32×48×48           352        1.3
    block 32→40, stride 2                              40×24×24        27,885       31.3
    block 40→80, stride 2; block 80→80                 80×12×12       208,980       59.0
    block 80→160, stride 2; block 160→160              160×6×6        833,960       59.0
    block 160→320, stride 2                            320×3×3      1,461,480       25.9
    mean over positions, dropout, linear 320→7         7                2,247        0.0
                                                       total        2,534,904      176.5

    block: conv 3×3, batch norm, ReLU, conv 3×3, batch norm, channel gate (to 1/8), stochastic depth; plus the
    shortcut; ReLU. The shortcut of a block that narrows: mean over 2×2, conv 1×1, batch norm.

Why so:
- Dense 3×3 convolutions: processors run them near full speed; depthwise ones save FLOPs, but little time.
- The stem keeps all 48×48 pixels: brows and lips are a few pixels thick, a first stride of 2 or 4 would blur them. The
  cost is spent at 12×12 and 6×6 instead, in equal shares.
- Batch norm, not group norm: batches of 128 are large enough, and at evaluation it is free.
- Channel gates, because they cost next to nothing; the mean over positions at the end, so that Grad-CAM is exact.
- Labels are few and noisy: hence dropout before the classifier and stochastic depth, which rises linearly from 0 at the
  first block to `drop_path` at the last.
"""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation, StochasticDepth

from fer.params import Fraction, Input, Positive
from fer.systems import register, require_input

SIZES = range(40, 113)
STEM = 32
BLOCKS = ((1, True), (2, True), (2, False), (4, True), (4, False), (8, True))  # multiple of the width, halves the side


@register
class FERBaseline(nn.Module):
    """Input: float (batch, 1 or 3, size, size), standardised; size 40 to 112. Output: logits (batch, classes)."""

    def __init__(
        self,
        classes: int,
        input_spec: Input,
        *,
        width: Positive = 40,
        dropout: Fraction = 0.3,
        drop_path: Fraction = 0.1,
    ):
        super().__init__()
        require_input(input_spec, SIZES, 1, 3)
        layers: list[nn.Module] = [*convolution(input_spec.channels, STEM, 3), nn.ReLU(inplace=True)]
        channels = STEM
        for number, (multiple, narrows) in enumerate(BLOCKS):
            chance = drop_path * number / (len(BLOCKS) - 1)
            layers.append(Block(channels, multiple * width, narrows, chance))
            channels = multiple * width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, classes)
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))


class Block(nn.Module):
    """A residual block; `narrows` halves the side (an odd one is rounded up)."""

    def __init__(self, channels: int, filters: int, narrows: bool, drop_path: float):
        super().__init__()
        self.residual = nn.Sequential(
            *convolution(channels, filters, 3, stride=2 if narrows else 1), nn.ReLU(inplace=True),
            *convolution(filters, filters, 3),
            SqueezeExcitation(filters, max(filters // 8, 1)),
            StochasticDepth(drop_path, "row"),
        )  # fmt: skip
        self.shortcut = nn.Identity()
        if narrows:
            mean = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)
            self.shortcut = nn.Sequential(mean, *convolution(channels, filters, 1))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        return self.activation(self.shortcut(images) + self.residual(images))


def convolution(channels: int, filters: int, kernel: int, stride: int = 1) -> tuple[nn.Module, ...]:
    """Return a convolution without bias that keeps the side (or divides it by `stride`), and batch normalisation."""
    return (
        nn.Conv2d(channels, filters, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(filters),
    )
