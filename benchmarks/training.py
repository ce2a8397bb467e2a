"""Training throughput: our loop over the same step on one constant batch, and over the usual loop on image files.

    python benchmarks/training.py --system attentional_cnn --threads 2
    python benchmarks/training.py --system resnet18_attention --batch-size 8   # published: 64, twelve seconds a step

Four variants run in turn, round after round, and each ratio is the median of the rounds' ratios, so that other work on
the machine disturbs them alike:

    ours       fer.training.loop.train itself, with the recipe's augmentation, on a uint8 set in memory
    constant   the same step on one ready float batch: what the device could do if data were free
    eager      the constant step as PyTorch lays out a network by itself, channels first
    usual      the eager step fed by a DataLoader that opens PNG files and applies torchvision's transforms one by one
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from fer import params, systems
from fer.devices import choose_device, precision_in_effect
from fer.networks import to_device
from fer.params import System
from fer.training import loop
from fer.training.checkpoint import Checkpoint
from fer.training.data import Part
from fer.training.schedule import make_optimizer, make_scheduler

CLASSES = 7
# Images that a network takes at once: the views or modalities of a sample
PLANES = {"prior_attention": 2}
# All but the one that sees no image
NAMES = [path.stem for path in sorted(Path("params/systems").glob("*.yaml")) if path.stem != "box_geometry"]


def build(name: str, system: System, device: torch.device) -> nn.Module:
    """Return the network as training starts it (fer.networks.untrained, which needs an experiment)."""
    return to_device(systems.build(name, system, CLASSES), device)


class Nowhere(Checkpoint):
    """What an epoch costs once is not a matter of images: nothing is kept."""

    def keep(self, state, last) -> None:
        pass


def ours(name: str, system: System, part: Part, device: torch.device) -> float:
    """Return images/s of one epoch of the project's training loop (validation on one image, no checkpoint)."""
    val = Part(part.images[:1], part.labels[:1], part.samples[:1])
    recipe = system.recipe.override({"epochs": 1})
    parts, nowhere = {"train": part, "val": val}, Nowhere(Path("/nonexistent/checkpoint"))
    started = time.perf_counter()
    loop.train(lambda: build(name, system, device), CLASSES, system.input, recipe, parts, 0, device, nowhere)
    synchronise(device)
    return len(part) / (time.perf_counter() - started)


def plain_steps(network: nn.Module, system: System, batches: Iterable, count: int, device: torch.device) -> float:
    """Return images/s of the plain training step over `batches` of (float images, labels)."""
    recipe = system.recipe.override({"epochs": 1})
    optimizer = make_optimizer(network.to(device), recipe)
    mixed_precision = torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16-mixed")
    scheduler = make_scheduler(optimizer, recipe, count, count)
    network.train()
    penalised = [layer.weight for layer in systems.dense_layers(network)[-2:]] if recipe.dense_penalty else []
    images_seen = 0
    started = time.perf_counter()
    for images, labels in batches:
        with mixed_precision:
            logits = network(images)
        loss = functional.cross_entropy(logits.float(), labels)
        loss = loss + recipe.dense_penalty * sum(weight.square().sum() for weight in penalised)
        optimizer.zero_grad()
        loss.backward()
        if recipe.gradient_clip:
            nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_clip)
        optimizer.step()
        scheduler.step()
        images_seen += len(labels)
    synchronise(device)
    return images_seen / (time.perf_counter() - started)


def constant_batches(system: System, planes: int, count: int, device: torch.device) -> Iterable:
    size, given = system.recipe.batch_size, system.input
    images = torch.rand(size, planes * given.channels, given.size, given.size, device=device)
    return [(images, torch.arange(size, device=device) % CLASSES)] * count


def file_batches(system: System, folder: Path, device: torch.device, workers: int) -> Iterable:
    """Yield the batches of the usual loop: files, PIL, one image at a time."""
    augmentation, side = system.recipe.augmentation, system.input
    steps = [transforms.Grayscale()] if side.channels == 1 else []
    if augmentation.horizontal_flip:
        steps.append(transforms.RandomHorizontalFlip(augmentation.horizontal_flip))
    if augmentation.rotation or augmentation.translation or augmentation.scale:
        shift, zoom = (augmentation.translation,) * 2, (1 - augmentation.scale, 1 + augmentation.scale)
        bilinear = transforms.InterpolationMode.BILINEAR
        steps.append(transforms.RandomAffine(augmentation.rotation, shift, zoom, interpolation=bilinear))
    if augmentation.brightness or augmentation.contrast or augmentation.saturation:
        steps.append(transforms.ColorJitter(augmentation.brightness, augmentation.contrast, augmentation.saturation))
    steps += [transforms.ToTensor(), transforms.Normalize(side.mean, side.std)]
    dataset = ImageFolder(folder, transforms.Compose(steps))
    loader = DataLoader(dataset, system.recipe.batch_size, shuffle=True, num_workers=workers)
    for images, labels in loader:
        yield images.to(device, non_blocking=True), labels.to(device, non_blocking=True)


def write_files(array: np.ndarray, labels: np.ndarray, folder: Path) -> None:
    for number, (image, label) in enumerate(zip(array, labels, strict=True)):
        path = folder / str(label) / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), image)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def measure(name: str, arguments: argparse.Namespace) -> None:
    """Print the rates of one system, each measured on about so many seconds' worth of images."""
    system, planes = params.load_system(name), PLANES.get(name, 1)
    if arguments.batch_size:
        system = system.model_copy(update={"recipe": system.recipe.override({"batch_size": arguments.batch_size})})
    device = choose_device(arguments.device, arguments.threads)
    precision = precision_in_effect(system.recipe.precision, device, arguments.bf16_on_cpu)
    system = system.model_copy(update={"recipe": system.recipe.override({"precision": precision})})

    def constant(network: nn.Module, count: int) -> float:
        return plain_steps(network, system, constant_batches(system, planes, count, device), count, device)

    rates = [constant(build(name, system, device), 3) for _ in range(2)]  # the first one warms up
    rate = max(rates)
    count = max(2, round(rate * arguments.seconds / system.recipe.batch_size))
    images, side = count * system.recipe.batch_size, system.input.size
    generator = np.random.default_rng(0)
    array = generator.integers(0, 256, (images, side, side, planes * system.input.channels), dtype=np.uint8)
    labels = generator.integers(0, CLASSES, images)
    part = Part(
        torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2))).to(device),
        torch.from_numpy(labels).to(device),
        np.arange(images),
    )
    with tempfile.TemporaryDirectory() as folder:
        variants: dict[str, Callable[[], float]] = {
            "ours": lambda: ours(name, system, part, device),
            "constant": lambda: constant(build(name, system, device), count),
            "eager": lambda: constant(systems.build(name, system, CLASSES), count),
        }
        if planes == 1:  # of several images a sample there is no usual loop
            write_files(array, labels, Path(folder))
            variants["usual"] = lambda: plain_steps(
                systems.build(name, system, CLASSES),
                system,
                file_batches(system, Path(folder), device, os.cpu_count() or 1),
                count,
                device,
            )
        rates = [{variant: run() for variant, run in variants.items()} for _ in range(arguments.rounds)]
    median = {variant: statistics.median(rate[variant] for rate in rates) for variant in variants}
    ratios = [f"{statistics.median(rate['ours'] / rate[other] for rate in rates):.2f}" for other in list(median)[1:]]
    cells = [name, str(arguments.threads), *(f"{rate:,.0f}" for rate in median.values()), *["–"] * (4 - len(median))]
    print("| " + " | ".join([*cells, *ratios, *["–"] * (3 - len(ratios))]) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", action="append", help="repeatable; default: every system")
    parser.add_argument("--batch-size", type=int, help="default: the published one")
    parser.add_argument("--seconds", type=float, default=6, help="how long a variant takes in each round, about")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--bf16-on-cpu", action="store_true", help="where the recipe says bf16-mixed")
    arguments = parser.parse_args()
    print("| system | threads | ours | constant | eager | usual | ours/constant | ours/eager | ours/usual |")
    print("|:--|" + "--:|" * 8)
    for name in arguments.system or NAMES:
        measure(name, arguments)


if __name__ == "__main__":
    main()
