"""Optimiser and learning rate of a recipe."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim import lr_scheduler as schedules
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from fer.params import Recipe


def make_optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """Return the recipe's optimizer over all trainable parameters; `decay_norms: false` spares vectors from decay."""
    parameters: list = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not recipe.decay_norms:  # biases, and the weights of batch norm, are vectors
        parameters = [
            {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
            {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
        ]
    arguments = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay, "fused": True}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=0.9, **arguments)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, betas=recipe.betas, eps=recipe.epsilon, **arguments)


def make_scheduler(optimizer: Optimizer, recipe: Recipe, steps: int, steps_an_epoch: int) -> LRScheduler:
    """Return a schedule that is advanced after every step; "plateau" only after every epoch, by `advance`."""
    match recipe.schedule:
        case "one_cycle":
            return schedules.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps + 1, cycle_momentum=False)
        case "cosine":
            return schedules.CosineAnnealingLR(optimizer, T_max=steps)
        case "cosine_cycles":

            def factor(step: int) -> float:
                return (1 + math.cos(math.pi * (step // steps_an_epoch) / recipe.period)) / 2

            return schedules.LambdaLR(optimizer, factor)
        case "plateau":
            return ReduceLROnPlateau(optimizer, factor=0.5, patience=5, min_lr=1e-6)
    return schedules.ConstantLR(optimizer, factor=1.0, total_iters=0)


def advance(scheduler: LRScheduler, val_loss: float | None = None) -> None:
    """Advance the schedule after a step, or, with the loss on validation, after an epoch."""
    plateau = isinstance(scheduler, ReduceLROnPlateau)
    if plateau and val_loss is not None:
        scheduler.step(val_loss)
    elif not plateau and val_loss is None:
        scheduler.step()
