"""ACNN-ALSTM: Ming, Qian, Guangyuan, "CNN-LSTM Facial Expression Recognition Method Fused with Two-Layer Attention
Mechanism", Computational Intelligence and Neuroscience 2022, 7450637, as a project re-implemented it.

    layers                                                 output     parameters   sequence "single"
    convolutions (fer/layers/cnn_sequence.py)             128×6×6       240,256             240,256
    local attention: softmax of positions · query / √128   36×128            128             589,952
    LSTM over the weighted positions                       36×128        132,096             132,096
    global attention: softmax of states · query / √128     128               128                 128
    linear 128→7                                           7                 903                 903
                                                           total         373,511             963,335

The local weights multiply the features of their position, times 36, so that equal weights change nothing; the global
weights sum the hidden states to one context vector.

Departs from the project, which published the count on the right. Its local attention knows neither positions nor a
query: one dense layer and a softmax over its 128 outputs, each multiplied by the sum of all 4,608 features. Its LSTM
reads that as a sequence of one step, so that global attention is idle and its query never learns; and softmax is
applied before a loss that applies it again. `sequence: single` restores the first two faults, `softmax: true` the last.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from fer.layers.cnn_sequence import (
    FEATURES,
    HIDDEN,
    POSITIONS,
    QueryAttention,
    convolutions,
    initialise,
    positions_of,
    weighted_sum,
)
from fer.params import Input
from fer.systems import register, require_input


@register
class ACNNALSTM(nn.Module):
    """Input: float (batch, 1, 48, 48) in [0, 1]. Output: logits (batch, classes)."""

    def __init__(
        self,
        classes: int,
        input_spec: Input,
        *,
        sequence: Literal["positions", "single"] = "positions",
        softmax: bool = False,
        initialisation: Literal["he", "default"] = "he",
    ):
        super().__init__()
        require_input(input_spec, 48, 1)
        self.features = convolutions()
        self.local_attention = PositionAttention() if sequence == "positions" else MapGate()
        self.lstm = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.global_attention = QueryAttention(HIDDEN)
        self.classifier = nn.Sequential(nn.Linear(HIDDEN, classes))
        self.softmax = softmax
        if softmax:
            self.classifier.append(nn.Softmax(1))
        initialise(self, initialisation)

    def attention(self, images: Tensor) -> dict[str, Tensor]:
        """Return the weights `local` (batch, 36) and `global` (batch, 36), the positions row by row.

        "single" has no weights of positions: only `global` (batch, 1), all ones.
        """
        maps = self.features(images)
        over_time = self.global_attention(self.lstm(self.local_attention(maps))[0])
        if isinstance(self.local_attention, MapGate):
            return {"global": over_time}
        return {"local": self.local_attention.weights(maps), "global": over_time}

    def forward(self, images: Tensor) -> Tensor:
        states, _ = self.lstm(self.local_attention(self.features(images)))
        return self.classifier(weighted_sum(states, self.global_attention(states)))


class PositionAttention(nn.Module):
    """Local attention: a map (batch, 128, 6, 6) to its weighted positions (batch, 36, 128)."""

    def __init__(self):
        super().__init__()
        self.attention = QueryAttention(FEATURES)

    def weights(self, maps: Tensor) -> Tensor:
        """Return the attention weight of each position, (batch, 36), row by row; they sum to 1."""
        return self.attention(positions_of(maps))

    def forward(self, maps: Tensor) -> Tensor:
        return POSITIONS * self.weights(maps).unsqueeze(2) * positions_of(maps)


class MapGate(nn.Module):
    """The project's local attention, a fault: a map (batch, 128, 6, 6) to one step (batch, 1, 128)."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(FEATURES * POSITIONS, FEATURES)

    def forward(self, maps: Tensor) -> Tensor:
        features = maps.flatten(1)
        return (self.linear(features).softmax(1) * features.sum(1, keepdim=True)).unsqueeze(1)
