"""The training loop, one for every system: read it from top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fer.errors import FerError
from fer.params import Input, Recipe
from fer.progress import track
from fer.systems import dense_layers
from fer.training.augmentation import augmenter
from fer.training.averaging import MovingAverage
from fer.training.checkpoint import Checkpoint, State
from fer.training.data import Part, standardise
from fer.training.prediction import predict
from fer.training.schedule import advance, make_optimizer, make_scheduler
from fer.training.targets import Teacher, mixer


def train(
    make_network: Callable[[], nn.Module],
    classes: int,
    input_spec: Input,
    recipe: Recipe,
    parts: dict[str, Part],
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint,
    on_epoch: Callable[[dict], None] = lambda row: None,
    teacher: Teacher | None = None,
) -> State:
    """Train on `parts["train"]`, keeping the weights of the epoch with the best accuracy on `parts["val"]`.

    The outcome is repeatable to the bit on one CPU type for a given number of threads, interrupted or not: order,
    augmentation and dropout of an epoch depend only on (seed, epoch), and `checkpoint` holds the last complete one.

    Args:
        make_network: returns the network with the weights to start from, on the device.
        recipe: with the precision in effect (`fer.devices.precision_in_effect`).
        parts: on the device.
        on_epoch: called with each new row of the history: epoch, step, learning_rate (of its first step), and loss and
            accuracy on train and val.
        teacher: gives the target distributions, for label-distribution training.

    Raises:
        FerError: the loss stopped being finite.
    """
    train_part, val_part = parts["train"], parts["val"]
    steps_an_epoch = len(batches(torch.arange(len(train_part)), recipe.batch_size))
    total_steps = recipe.steps or recipe.epochs * steps_an_epoch
    epochs = math.ceil(total_steps / steps_an_epoch)

    torch.manual_seed(seed)
    network = make_network()
    optimizer = make_optimizer(network, recipe)
    average = MovingAverage(network, recipe.average_weights) if recipe.average_weights else None
    state = State(network, optimizer, make_scheduler(optimizer, recipe, total_steps, steps_an_epoch), average)
    checkpoint.load(state)
    mixed_precision = torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16-mixed")
    augment, mix = augmenter(recipe.augmentation), mixer(recipe, classes)
    penalised = [layer.weight for layer in dense_layers(network)[-2:]] if recipe.dense_penalty else []

    for epoch in track(range(len(state.history), epochs), epochs - len(state.history), "train"):
        torch.manual_seed(seed * 1_000_003 + epoch + 1)
        network.train()
        order = epoch_order(train_part, recipe).to(train_part.labels.device)
        learning_rate = state.scheduler.get_last_lr()[0]
        totals = torch.zeros(2, device=device)  # summed on the device: reading it each step would stall a GPU
        losses, epoch_batches = [], batches(order, recipe.batch_size)[: total_steps - epoch * steps_an_epoch]

        for batch in epoch_batches:
            images, labels = train_part.images[batch].float().mul_(1 / 255), train_part.labels[batch]
            images = augment(images)
            targets = teacher(images) if teacher else labels
            if mix:
                images, targets = mix(images, targets)
            images = standardise(images, input_spec)
            with mixed_precision:
                logits = network(images)
            logits = logits.float()
            loss = functional.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
            if teacher:  # the mean over the classes, too, as published: of seven classes a seventh of the usual
                loss = loss / classes
            total_loss = loss + recipe.dense_penalty * sum(weight.square().sum() for weight in penalised)
            optimizer.zero_grad()
            total_loss.backward()
            if recipe.gradient_clip:
                nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_clip)
            optimizer.step()
            advance(state.scheduler)
            if average:
                average.update(network)
            correct = (logits.argmax(1) == labels).sum()
            losses.append(loss.detach())
            totals += torch.stack([losses[-1] * len(batch), correct])

        train_loss, train_accuracy = (totals / sum(map(len, epoch_batches))).tolist()
        if not math.isfinite(train_loss):
            step = next((at for at, loss in enumerate(losses) if not loss.isfinite()), len(losses) - 1)
            samples = train_part.samples[epoch_batches[step].cpu()]
            raise FerError(diverged(losses[step].item(), epoch, step, samples))
        evaluated = average.module if average else network
        logits = predict(evaluated, val_part.images, input_spec, recipe)
        val_loss = functional.cross_entropy(logits, val_part.labels).item()
        val_accuracy = (logits.argmax(1) == val_part.labels).float().mean().item()
        advance(state.scheduler, val_loss)
        if val_accuracy > state.best_accuracy or recipe.keep == "last":
            state.best_accuracy = val_accuracy
            state.best_weights = {name: value.detach().clone() for name, value in evaluated.state_dict().items()}
        row = {
            "epoch": epoch,
            "step": min((epoch + 1) * steps_an_epoch, total_steps),
            "learning_rate": learning_rate,  # of the epoch's first step
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
        }
        state.history.append(row)
        checkpoint.keep(state, last=epoch == epochs - 1)
        on_epoch(row)
    return state


def diverged(loss: float, epoch: int, step: int, samples: np.ndarray) -> str:
    """Return a message that says where the loss stopped being finite."""
    return (
        f"the loss became {loss} in epoch {epoch} at step {step}, whose batch is the samples "
        f"{', '.join(map(str, samples))}. The checkpoint of the previous epoch is kept. A lower learning_rate may help"
    )


def epoch_order(part: Part, recipe: Recipe) -> Tensor:
    """Return the images of an epoch by number: each once, or as many draws that favour no class."""
    if not recipe.balanced_sampling:
        return torch.randperm(len(part))
    labels = part.labels.cpu()
    return torch.multinomial(1 / labels.bincount()[labels], len(part), replacement=True)


def batches(order: Tensor, size: int) -> list[Tensor]:
    """Split an order into batches, the last one shorter; a batch of a single image, with which batch norm cannot train,
    joins the batch before it.
    """
    split = list(order.split(size))
    if len(split) > 1 and len(split[-1]) == 1:
        split[-2:] = [torch.cat(split[-2:])]
    return split
