"""Two boxes and no picture: a small network on the places of the eyes and the mouth block.

No publication. The project behind `prior_attention` cut all its blocks from one image, so that its network saw where
the boxes lie and nothing else; this one is given just that, eight numbers, and shows what they alone are worth.

    layers                        output    parameters
    linear 8→64, ReLU             64               576
    linear 64→64, ReLU            64             4,160
    linear 64→7                   7                455
                                  total          5,191
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from fer.params import Input
from fer.systems import register, require_input


@register
class BoxGeometry(nn.Module):
    """Input: float (batch, 8, 1, 1): x, y, width, height of the eyes box, then of the mouth box. Output: logits."""

    planes = 8

    def __init__(self, classes: int, input_spec: Input, *, views: Literal["boxes"] = "boxes"):
        super().__init__()
        require_input(input_spec, 1, 1)
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(self.planes, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, classes)
        )

    def forward(self, numbers: Tensor) -> Tensor:
        return self.layers(numbers)
