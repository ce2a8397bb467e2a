"""CNN-LSTM: the variant without attention of a project re-implementing Ming, Qian, Guangyuan (ACNN-ALSTM),
Computational Intelligence and Neuroscience 2022, 7450637.

    layers                                             output    parameters   sequence "single"
    convolutions (fer/layers/cnn_sequence.py)         128×6×6      240,256             240,256
    LSTM over the map's 36 positions, last state       128          132,096           2,425,856
    linear 128→192, ReLU, dropout                      192           24,768              24,768
    linear 192→7, ReLU                                 7              1,351               1,351
    linear 7→7                                         7                 56                  56
                                                       total        398,527           2,692,287

Departs from the project, which published the count on the right: there the LSTM reads the flattened map as a sequence
of one step, and softmax is applied before a loss that applies it again. `sequence: single` and `softmax: true` restore
these two faults for comparison.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from fer.layers.cnn_sequence import HIDDEN, convolutions, initialise, recurrence, sequence_of
from fer.params import Fraction, Input
from fer.systems import register, require_input


@register
class CNNLSTM(nn.Module):
    """Input: float (batch, 1, 48, 48) in [0, 1]. Output: logits (batch, classes)."""

    def __init__(
        self,
        classes: int,
        input_spec: Input,
        *,
        sequence: Literal["positions", "single"] = "positions",
        dropout: Fraction = 0.5,
        softmax: bool = False,
        initialisation: Literal["he", "default"] = "he",
    ):
        super().__init__()
        require_input(input_spec, 48, 1)
        self.sequence = sequence
        self.features = convolutions()
        self.lstm = recurrence(sequence)
        self.classifier = nn.Sequential(
            nn.Linear(HIDDEN, 192), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(192, classes), nn.ReLU(), nn.Linear(classes, classes),
        )  # fmt: skip
        self.softmax = softmax
        if softmax:
            self.classifier.append(nn.Softmax(1))
        initialise(self, initialisation)

    def forward(self, images: Tensor) -> Tensor:
        states, _ = self.lstm(sequence_of(self.features(images), self.sequence))
        return self.classifier(states[:, -1])
