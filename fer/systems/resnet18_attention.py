"""ResNet-18 with a gate on its features, visible, infrared or both: Naseem et al., Facial expression recognition using
visible and IR by early fusion of deep learning with attention mechanism, PeerJ Computer Science 11:e2676, 2025, and
its public code.

    part           layers                                                              output       parameters
    backbone       ResNet-18 up to its global average                                  512          11,176,512
    gate           f·sigmoid(W f + b); infrared and fused: f·sigmoid(W (f∘f) + b)      512             262,656
    visible head   dropout 0.4, linear 512→256, dropout 0.4, linear 256→5              5               132,613
                                                                          visible                   11,571,781
    infrared head  dropout 0.7, linear 512→256, ReLU, batch norm, dropout 0.8,
                   linear 256→5                                                        5               133,125
                                                                          infrared                  11,572,293
    fused          two backbones with gates, interleaved (v0, i0, v1, i1, …)           1024         22,878,336
                   dropout 0.2, linear 1024→256, ReLU, batch norm, dropout 0.2,
                   linear 256→5                                                        5               264,197
                                                                          fused                     23,142,533

The paper calls the gate self-attention and the fusion early: no feature looks at another place of the image, and the
modalities meet after their backbones. Both gates of the fused network square, as in its code, although the visible
network's own gate does not. The infrared branch of the published fused network starts from a trained infrared network
(`start_infrared`), its visible branch from ImageNet.

Two defects of the original are switches, off by default: `softmax` (the network ends in a softmax, and its cross
entropy takes another) and `logits_dropout` (dropout after the last layer, 0.2 in the published fused network).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, resnet18

from fer.layers.weights import load_backbone
from fer.params import Fraction, Input
from fer.systems import register, require_input


class Branch(nn.Module):
    """One modality: float (batch, 3, size, size) → gated features (batch, 512)."""

    def __init__(self, weights: str, squared: bool):
        super().__init__()
        self.backbone = resnet18()
        self.backbone.fc = nn.Identity()
        load_backbone(self.backbone, weights, ResNet18_Weights.IMAGENET1K_V1)
        self.attention = nn.Linear(512, 512)
        self.squared = squared

    def gate(self, features: Tensor) -> Tensor:
        """Return the share of each feature that passes, in 0…1 (same shape)."""
        return torch.sigmoid(self.attention(features.square() if self.squared else features))

    def forward(self, images: Tensor) -> Tensor:
        features = self.backbone(images)
        return features * self.gate(features)


def head(modality: str, classes: int) -> nn.Sequential:
    """Return the published classifier on the features of `modality`."""
    if modality == "visible":  # nothing between the two linear layers, as published
        return nn.Sequential(nn.Dropout(0.4), nn.Linear(512, 256), nn.Dropout(0.4), nn.Linear(256, classes))
    features, first, second = (512, 0.7, 0.8) if modality == "infrared" else (1024, 0.2, 0.2)
    return nn.Sequential(
        nn.Dropout(first), nn.Linear(features, 256), nn.ReLU(), nn.BatchNorm1d(256),
        nn.Dropout(second), nn.Linear(256, classes),
    )  # fmt: skip


@register
class ResNet18Attention(nn.Module):
    """Input: float (batch, 3, size, size) in [0, 1], fused: (batch, 6, …), visible then infrared.

    Output: logits (batch, classes). The published size is 224; any multiple of 32 will do.
    """

    def __init__(
        self,
        classes: int,
        input_spec: Input,
        *,
        modality: Literal["visible", "infrared", "fused"] = "visible",
        weights: str = "random",
        softmax: bool = False,
        logits_dropout: Fraction = 0.0,
    ):
        super().__init__()
        require_input(input_spec, range(32, 4097, 32), 3)
        modalities = ("visible", "infrared") if modality == "fused" else (modality,)
        self.planes = len(modalities)
        self.branches = nn.ModuleDict({name: Branch(weights, squared=modality != "visible") for name in modalities})
        self.head = head(modality, classes)
        self.logits_dropout = nn.Dropout(logits_dropout)
        self.softmax = softmax

    def start_infrared(self, trained: Mapping[str, Tensor]) -> None:
        """Start the infrared branch where the state of a trained infrared network has it."""
        prefix = "branches.infrared."
        state = {name.removeprefix(prefix): value for name, value in trained.items() if name.startswith(prefix)}
        self.branches["infrared"].load_state_dict(state)

    def features(self, images: Tensor) -> Tensor:
        """Return the gated features (batch, 512), fused: (batch, 1024), visible and infrared in turn."""
        planes = images.chunk(self.planes, 1)
        each = [branch(plane) for branch, plane in zip(self.branches.values(), planes, strict=True)]
        return torch.stack(each, 2).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.logits_dropout(self.head(self.features(images)))
        return logits.softmax(1) if self.softmax else logits
