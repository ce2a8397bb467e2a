"""The moving average of the weights (Polyak and Juditsky, SIAM J. Control Optim. 30, 1992)."""

from __future__ import annotations

import copy
from itertools import chain

import torch
from torch import nn


class MovingAverage:
    """A copy of the network whose weights and statistics follow it: average ← decay·average + (1-decay)·own.

    At first the decay is smaller, (1 + steps) / (10 + steps), so that the random start is soon forgotten. Steps are
    counted in Python: torch's `AveragedModel` reads its count from the device in every step, for which a GPU must wait.
    """

    def __init__(self, network: nn.Module, decay: float):
        self.module = copy.deepcopy(network).requires_grad_(False)
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Follow the network by one step; the first one takes its weights as they are."""
        share = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        for average, value in zip(tensors(self.module), tensors(network), strict=True):
            if self.steps and average.is_floating_point():
                average.lerp_(value, share)
            else:  # the number of batches that batch norm has seen is no average
                average.copy_(value)
        self.steps += 1

    def state_dict(self) -> dict:
        """Return the averaged weights and the number of steps, for a checkpoint."""
        return {"module": self.module.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict) -> None:
        """Restore what `state_dict` returned."""
        self.module.load_state_dict(state["module"])
        self.steps = state["steps"]


def tensors(network: nn.Module):
    """Return all parameters and buffers of a network, in a fixed order."""
    return chain(network.parameters(), network.buffers())
