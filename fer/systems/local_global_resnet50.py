"""Local and global features on ResNet-50: a project on RAF-DB, "partially inspired by" Zhao, Liu, Zhou, Robust
Lightweight Facial Expression Recognition Network with Label Distribution Training (EfficientFace), AAAI 2021.

    part           layers                                                              output       parameters
    global         ResNet-50 up to its last map                                        2048×7×7     23,508,032
    gates          after each of its four stages m·sigmoid(conv 1×1 (C/16), ReLU,
                   conv 1×1 (C)), C = 256, 512, 1024, 2048                             as m            700,400
    local          each quadrant its own: depthwise 3×3 stride 2, batch norm, ReLU,
                   conv 1×1 (116), batch norm, ReLU; laid back in place                116×28×28        33,440
    adapter        bilinear to 7×7, conv 1×1 (2048), added to the last gated map       2048×7×7        239,616
    head           global average, linear 2048→7                                       7                14,343
                                                                          total                     24,495,831

The gate does not pool: each position has its own. The original widens before it shrinks; the two commute, and this
order costs a sixteenth.

`extractor` is where the local part looks. "sound", as in EfficientFace: the quadrants of the stem's map (64×56×56),
which is the whole face. "corner", the original's defect: EfficientFace's indices, 0 to 56, on the raw image of 224, so
that it sees the top-left sixteenth; with three channels the local part has 2,452 parameters and the network the
published 24,464,843. "none" leaves local part and adapter out, `attention: false` the gates; without either it is the
plain ResNet-50 (23,522,375).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import ResNet50_Weights, resnet50

from fer.layers.weights import load_backbone
from fer.params import Input
from fer.systems import register, require_input


class Gate(nn.Module):
    """Weighs every channel at every position of a map (batch, channels, height, width); same shape."""

    def __init__(self, channels: int):
        super().__init__()
        self.weights = nn.Sequential(
            nn.Conv2d(channels, channels // 16, 1), nn.ReLU(), nn.Conv2d(channels // 16, channels, 1), nn.Sigmoid()
        )

    def forward(self, maps: Tensor) -> Tensor:
        return maps * self.weights(maps)


class LocalExtractor(nn.Module):
    """Four quadrants, each with layers of its own: (batch, channels, side, side) → (batch, 116, side/2, side/2)."""

    def __init__(self, channels: int):
        super().__init__()
        self.quadrants = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels, bias=False),
                nn.BatchNorm2d(channels), nn.ReLU(),
                nn.Conv2d(channels, 116, 1, bias=False), nn.BatchNorm2d(116), nn.ReLU(),
            )
            for _ in range(4)
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        quarters = [quarter for half in maps.chunk(2, 2) for quarter in half.chunk(2, 3)]
        local = [layers(quarter) for layers, quarter in zip(self.quadrants, quarters, strict=True)]
        return torch.cat([torch.cat(local[:2], 3), torch.cat(local[2:], 3)], 2)


@register
class LocalGlobalResNet50(nn.Module):
    """Input: float (batch, 3, size, size). Output: logits (batch, classes).

    The published size is 224; any multiple of 32 will do, and the corner is always a quarter of its side.
    """

    def __init__(
        self,
        classes: int,
        input_spec: Input,
        *,
        extractor: Literal["sound", "corner", "none"] = "sound",
        attention: bool = True,
        weights: str = "random",
    ):
        super().__init__()
        require_input(input_spec, range(32, 4097, 32), 3)
        backbone = resnet50()
        backbone.fc = nn.Identity()
        load_backbone(backbone, weights, ResNet50_Weights.IMAGENET1K_V1)
        self.stem = nn.Sequential(backbone.conv1, backbone.bn1, backbone.relu, backbone.maxpool)
        self.stages = nn.ModuleList([backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4])
        self.gates = nn.ModuleList(
            Gate(channels) if attention else nn.Identity() for channels in (256, 512, 1024, 2048)
        )
        self.extractor = extractor
        if extractor != "none":
            self.local = LocalExtractor(64 if extractor == "sound" else 3)
            self.adapter = nn.Conv2d(116, 2048, 1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, classes))

    def local_features(self, images: Tensor, stem: Tensor) -> Tensor:
        """Return the local features of the images or of the stem's map, (batch, 116, size/8, size/8)."""
        if self.extractor == "sound":
            return self.local(stem)
        side = images.shape[-1] // 4
        return self.local(images[..., :side, :side])

    def gate_maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return each stage's gate at each position, averaged over its channels.

        {"gate, stage 1": (batch, size/4, size/4), …, "gate, stage 4": (batch, size/32, size/32)}; {} without gates.
        """
        shares, maps = {}, self.stem(images)
        for number, (stage, gate) in enumerate(zip(self.stages, self.gates, strict=True), 1):
            maps = stage(maps)
            if isinstance(gate, Gate):
                shares[f"gate, stage {number}"] = gate.weights(maps).mean(1)
            maps = gate(maps)
        return shares

    def forward(self, images: Tensor) -> Tensor:
        maps = stem = self.stem(images)
        for stage, gate in zip(self.stages, self.gates, strict=True):
            maps = gate(stage(maps))
        if self.extractor != "none":
            local = functional.interpolate(self.local_features(images, stem), maps.shape[-2:], mode="bilinear")
            maps = maps + self.adapter(local)
        return self.head(maps)
