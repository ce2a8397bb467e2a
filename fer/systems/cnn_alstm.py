"""CNN-ALSTM: the variant with only global attention of a project re-implementing Ming, Qian, Guangyuan (ACNN-ALSTM),
Computational Intelligence and Neuroscience 2022, 7450637.

    layers                                                 output     parameters   sequence "single"
    convolutions (fer/layers/cnn_sequence.py)             128×6×6       240,256             240,256
    LSTM over the map's 36 positions                       36×128        132,096           2,425,856
    global attention: softmax of states · query / √128     128               128                 128
    linear 128→7                                           7                 903                 903
                                                           total         373,383           2,667,143

Departs from the project, which published the count on the right: there the LSTM reads the flattened map as a sequence
of one step, so that attention is idle and its query never learns; the convolutions have no activation between them; and
softmax is applied before a loss that applies it again. `sequence: single`, `relu: false` and `softmax: true` restore
these faults one by one for comparison.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from fer.layers.cnn_sequence import (
    HIDDEN,
    QueryAttention,
    convolutions,
    initialise,
    recurrence,
    sequence_of,
    weighted_sum,
)
from fer.params import Input
from fer.systems import register, require_input


@register
class CNNALSTM(nn.Module):
    """Input: float (batch, 1, 48, 48) in [0, 1]. Output: logits (batch, classes)."""

    def __init__(
        self,
        classes: int,
        input_spec: Input,
        *,
        sequence: Literal["positions", "single"] = "positions",
        relu: bool = True,
        softmax: bool = False,
        initialisation: Literal["he", "default"] = "he",
    ):
        super().__init__()
        require_input(input_spec, 48, 1)
        self.sequence = sequence
        self.features = convolutions(relu)
        self.lstm = recurrence(sequence)
        self.global_attention = QueryAttention(HIDDEN)
        self.classifier = nn.Sequential(nn.Linear(HIDDEN, classes))
        self.softmax = softmax
        if softmax:
            self.classifier.append(nn.Softmax(1))
        initialise(self, initialisation)

    def states(self, images: Tensor) -> Tensor:
        """Return the LSTM's hidden states (batch, steps, 128)."""
        return self.lstm(sequence_of(self.features(images), self.sequence))[0]

    def attention(self, images: Tensor) -> dict[str, Tensor]:
        """Return the weights `global` (batch, steps): 36 steps, the positions row by row; one for "single"."""
        return {"global": self.global_attention(self.states(images))}

    def forward(self, images: Tensor) -> Tensor:
        states = self.states(images)
        return self.classifier(weighted_sum(states, self.global_attention(states)))
