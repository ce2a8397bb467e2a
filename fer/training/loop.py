"""The training loop, one for every system: read it from top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from fer.errors import FerError
from fer.params import Input, Recipe
from fer.progress import track
from fer.systems import dense_layers
from fer.training import checkpoint
from fer.training.augmentation import augmenter
from fer.training.data import Part, normalise

HISTORY_COLUMNS = ("epoch", "step", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy")


@dataclass
class State:
    """Everything a resumed training needs; epochs are seeded, so no random state is among it."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    history: list[dict] = field(default_factory=list)
    best_accuracy: float = -1.0
    best_weights: dict[str, Tensor] = field(default_factory=dict)


def train(
    make_network: Callable[[], nn.Module],
    input: Input,
    recipe: Recipe,
    parts: dict[str, Part],
    seed: int,
    fabric: Fabric,
    checkpoint_file: Path,
    on_epoch: Callable[[dict], None] = lambda row: None,
) -> State:
    """Train on `parts["train"]`, keeping the weights of the epoch with the best accuracy on `parts["val"]`.

    The outcome is repeatable to the bit on one CPU type for a given number of threads, interrupted or not: order,
    augmentation and dropout of an epoch depend on (seed, epoch) alone, and `checkpoint_file` is written after each.

    Args:
        make_network: returns the network with random weights.
        on_epoch: called with each new row of the history (keys: HISTORY_COLUMNS).
    """
    train_part, val_part = parts["train"], parts["val"]
    steps_an_epoch = math.ceil(len(train_part) / recipe.batch_size)
    total_steps = recipe.steps or recipe.epochs * steps_an_epoch
    epochs = math.ceil(total_steps / steps_an_epoch)

    torch.manual_seed(seed)
    network = make_network()
    optimizer = make_optimizer(network, recipe)
    network, optimizer = fabric.setup(network, optimizer)
    state = State(network, optimizer, make_scheduler(optimizer, recipe, total_steps))
    checkpoint.load(checkpoint_file, state)
    augment = augmenter(recipe.augmentation)
    penalised = [layer.weight for layer in dense_layers(network)[-2:]] if recipe.dense_penalty else []

    for epoch in track(range(len(state.history), epochs), epochs - len(state.history), "train"):
        torch.manual_seed(seed * 1_000_003 + epoch + 1)
        network.train()
        order = torch.randperm(len(train_part))[: (total_steps - epoch * steps_an_epoch) * recipe.batch_size]
        order = order.to(train_part.labels.device)
        totals = torch.zeros(2, device=fabric.device)  # summed on the device: reading it each step would stall a GPU

        for batch in order.split(recipe.batch_size):
            images, labels = train_part.images[batch], train_part.labels[batch]
            logits = network(augment(normalise(images, input)))
            loss = functional.cross_entropy(logits, labels)
            total_loss = loss + recipe.dense_penalty * sum(weight.square().sum() for weight in penalised)
            optimizer.zero_grad()
            fabric.backward(total_loss)
            if recipe.gradient_clip:
                fabric.clip_gradients(network, optimizer, max_norm=recipe.gradient_clip, error_if_nonfinite=False)
            optimizer.step()
            state.scheduler.step()
            totals += torch.stack([loss.detach() * len(batch), (logits.argmax(1) == labels).sum()])

        train_loss, train_accuracy = (totals / len(order)).tolist()
        if not math.isfinite(train_loss):
            raise FerError(f"the loss became {train_loss} in epoch {epoch}; a lower learning_rate may help")
        logits = predict(network, val_part, input)
        val_accuracy = (logits.argmax(1) == val_part.labels).float().mean().item()
        if val_accuracy > state.best_accuracy:
            state.best_accuracy = val_accuracy
            state.best_weights = {name: value.detach().clone() for name, value in network.state_dict().items()}
        row = {
            "epoch": epoch,
            "step": min((epoch + 1) * steps_an_epoch, total_steps),
            "learning_rate": state.scheduler.get_last_lr()[0],
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "val_loss": functional.cross_entropy(logits, val_part.labels).item(),
            "val_accuracy": val_accuracy,
        }
        state.history.append(row)
        checkpoint.save(checkpoint_file, state)
        on_epoch(row)
    return state


@torch.inference_mode()
def predict(network: nn.Module, part: Part, input: Input, batch_size: int = 256) -> Tensor:
    """Return the logits (n, classes) of a part with dropout off and batch norm frozen."""
    network.eval()
    return torch.cat([network(normalise(images, input)).float() for images in part.images.split(batch_size)])


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    arguments = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay, "fused": True}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), momentum=0.9, **arguments)
    return torch.optim.Adam(network.parameters(), **arguments)


def make_scheduler(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return a schedule that is advanced after every step."""
    schedules = torch.optim.lr_scheduler
    if recipe.schedule == "one_cycle":
        return schedules.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps + 1, cycle_momentum=False)
    if recipe.schedule == "cosine":
        return schedules.CosineAnnealingLR(optimizer, T_max=steps)
    return schedules.ConstantLR(optimizer, factor=1.0, total_iters=0)
