"""The moving average of the weights (Polyak and Juditsky, SIAM J. Control Optim. 30, 1992), in torch's own class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """Return a copy of the network whose weights and statistics follow it: average ← decay·average + (1-decay)·own.

    At first the decay is smaller, (1 + steps) / (10 + steps), so that the random start is soon forgotten.
    """

    @torch.no_grad()
    def follow(averages: list[Tensor], current: list[Tensor], steps: Tensor | int) -> None:
        share = 1 - min(decay, (1 + int(steps)) / (10 + int(steps)))
        for average, value in zip(averages, current, strict=True):
            if average.is_floating_point():
                average.lerp_(value, share)
            else:  # the number of batches that batch norm has seen
                average.copy_(value)

    return AveragedModel(network, multi_avg_fn=follow, use_buffers=True)
