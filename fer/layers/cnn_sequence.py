"""What `cnn_lstm`, `cnn_alstm` and `acnn_alstm` share: convolutions, the sequence made of them, and attention over it.

After Ming, Qian, Guangyuan, Computational Intelligence and Neuroscience 2022, 7450637, and a project re-implementing
it, whose layers these are. The article's own kernels and sizes are not known to us. Not a system itself.

    layers                                       output      parameters
    conv 3×3 (32), max-pool 2, ReLU              32×24×24           320
    conv 3×3 (64), max-pool 2, ReLU              64×12×12        18,496
    conv 3×3 (128), ReLU                         128×12×12       73,856
    conv 3×3 (128), max-pool 2, ReLU             128×6×6        147,584
                                                 total          240,256

The project has ReLU before each pooling. The largest number and the larger of it and zero can be taken in either order,
to the same bits and gradients; pooled first, ReLU has a quarter of the work.

    sequence                                                                 output      LSTM's parameters
    positions   the 36 places of the map in reading order, 128 features each  36×128                132,096
    single      the original's: the whole map as one step                     1×4608              2,425,856

(`acnn_alstm` weighs the features first: its LSTM has 132,096 parameters either way.)

Convolutions and linear layers are initialised as in He et al. (Delving deep into rectifiers, ICCV 2015); the article
does not say how. From PyTorch's default (`initialisation: default`, the project's) `cnn_lstm` still predicted the most
frequent class after 1,200 steps on 800 synthetic faces (Adam, 1e-3, batches of 8); from He's it was past that in 600.
The LSTM is initialised as in Keras. From PyTorch's default, `cnn_alstm` still predicted the most frequent class of 800
synthetic faces after 14 epochs (Adam, 2e-3, batches of 8); from this one it was past that in six.

A sequence of one step has nothing to remember and nothing to attend to: the recurrent weights meet a state of zeros, a
softmax over one step is 1, and neither they nor the query of that softmax ever get a gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FEATURES = 128
POSITIONS = 6 * 6
HIDDEN = 128


def convolutions(relu: bool = True) -> nn.Sequential:
    """Return the network from images (batch, 1, 48, 48) to a map (batch, 128, 6, 6)."""
    layers: list[nn.Module] = []
    for channels, filters, pooled in ((1, 32, True), (32, 64, True), (64, 128, False), (128, FEATURES, True)):
        layers += [nn.Conv2d(channels, filters, 3, padding=1)]
        layers += [nn.MaxPool2d(2)] if pooled else []
        layers += [nn.ReLU()] if relu else []
    return nn.Sequential(*layers)


def positions_of(maps: Tensor) -> Tensor:
    """Return a map (batch, 128, 6, 6) as the sequence of its positions, row by row: (batch, 36, 128)."""
    return maps.flatten(2).transpose(1, 2)


def sequence_of(maps: Tensor, sequence: str) -> Tensor:
    """Return what the LSTM reads of a map (batch, 128, 6, 6): (batch, 36, 128), or (batch, 1, 4608) for "single"."""
    return positions_of(maps) if sequence == "positions" else maps.flatten(1).unsqueeze(1)


def recurrence(sequence: str) -> nn.LSTM:
    """Return the LSTM for what `sequence_of` gives; its hidden states are (batch, steps, 128)."""
    return nn.LSTM(FEATURES if sequence == "positions" else FEATURES * POSITIONS, HIDDEN, batch_first=True)


def initialise(network: nn.Module, initialisation: str) -> None:
    """Start convolutions and linear layers from He's normal distribution and zero biases; "default" changes nothing."""
    if initialisation == "default":
        return
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.LSTM):
            initialise_lstm(layer)


def initialise_lstm(lstm: nn.LSTM) -> None:
    """Start an LSTM of one layer as Keras does: Glorot's uniform weights for inputs, orthogonal ones for states, biases
    of 0, but of 1 for the forget gate, so that it remembers at first (Jozefowicz et al., ICML 2015).
    """
    nn.init.xavier_uniform_(lstm.weight_ih_l0)
    nn.init.orthogonal_(lstm.weight_hh_l0)
    nn.init.zeros_(lstm.bias_ih_l0)
    nn.init.zeros_(lstm.bias_hh_l0)
    gate = lstm.hidden_size  # rows of PyTorch's gates: input, forget, cell, output
    nn.init.ones_(lstm.bias_ih_l0[gate : 2 * gate])


class QueryAttention(nn.Module):
    """Attention weights of a sequence's steps: the softmax of their correlation with one learned query vector.

    The correlation is the dot product divided by √features (Vaswani et al., NeurIPS 2017). Undivided, a query that
    starts from N(0, 1) put all local weight on one position after four epochs on 3,500 images (Adam, 1e-3).

    Input: (batch, steps, features). Output: weights (batch, steps), each row summing to 1.
    """

    def __init__(self, features: int):
        super().__init__()
        self.query = nn.Parameter(torch.randn(features))

    def forward(self, steps: Tensor) -> Tensor:
        # The query as a column: ONNX Runtime miscalculates the product of a transposed sequence and a mere vector
        products = (steps @ self.query.unsqueeze(1)).squeeze(2)
        return (products / math.sqrt(len(self.query))).softmax(1)


def weighted_sum(steps: Tensor, weights: Tensor) -> Tensor:
    """Return the context vector (batch, features) of steps (batch, steps, features) under weights (batch, steps)."""
    return (weights.unsqueeze(2) * steps).sum(1)
