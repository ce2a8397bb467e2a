"""Plain deep network: the baseline of a project re-implementing Ming, Qian, Guangyuan (ACNN-ALSTM), Computational
Intelligence and Neuroscience 2022, 7450637. Its layers are those of TensorFlow's CIFAR-10 tutorial.

    layers                                                               output      parameters
    conv 5×5 (64), ReLU, max-pool 3 stride 2                             64×24×24         1,664
    conv 3×3 (64), ReLU, local response norm, max-pool 3 stride 2        64×12×12        36,928
    linear 9216→384, ReLU                                                384          3,539,328
    linear 384→192                                                       192             73,920
    linear 192→7                                                         7                1,351
                                                                         total        3,653,191

TensorFlow's "same" pooling of an even side pads right and bottom only, which is PyTorch's `ceil_mode`. Its local
response norm (Krizhevsky et al., NeurIPS 2012, 3.3) has radius 4, bias 1, alpha 0.001/9 an element and beta 0.75, which
PyTorch calls size 9 and alpha 0.001.
Weights start from a truncated normal with σ 0.1, biases at 0.1.
"""

from __future__ import annotations

from torch import Tensor, nn

from fer.params import Input
from fer.systems import register, require_input


@register
class DNN(nn.Module):
    """Input: float (batch, 1, 48, 48) in [0, 1]. Output: logits (batch, classes)."""

    def __init__(self, classes: int, input_spec: Input):
        super().__init__()
        require_input(input_spec, 48, 1)
        self.features = nn.Sequential(
            nn.Conv2d(1, 64, 5, padding="same"), nn.MaxPool2d(3, 2, ceil_mode=True), nn.ReLU(), # see cnn_sequence.py
            nn.Conv2d(64, 64, 3, padding="same"), nn.ReLU(),
            nn.LocalResponseNorm(9, alpha=0.001, beta=0.75), nn.MaxPool2d(3, 2, ceil_mode=True),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(9216, 384), nn.ReLU(), nn.Linear(384, 192), nn.Linear(192, classes)
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.1, a=-0.2, b=0.2)  # TensorFlow cuts at two σ
                nn.init.constant_(layer.bias, 0.1)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))
