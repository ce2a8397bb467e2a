"""Validation accuracy of a trained run: with and without exact copies in train, and by more views of each image.

    python benchmarks/validation.py studies/real/runs/fer2013-fer_baseline/0.0 --root studies/real --crops 46 44 42

The test part is not opened. `image` is the image and its mirror image; `ten crops` the four corners and the middle,
enlarged to the network's input, each mirrored; `14 views` the image, four shifts by 2 pixels and two zooms, each
mirrored.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from fer.layout import Layout
from fer.networks import load_network
from fer.runs import TrainedRun
from fer.storage import read_frame
from fer.training.data import load_part, normalise
from fer.training.views import views as views_of

SHIFTS, ZOOMS = ((2, 0), (-2, 0), (0, 2), (0, -2)), (2, 4)  # pixels; cut from each edge


def probabilities(network: nn.Module, views: list[Tensor]) -> Tensor:
    """Return the mean over views and their mirror images, (n, classes)."""
    with torch.inference_mode():
        return torch.stack(
            [
                torch.cat([network(batch).softmax(1) for batch in each.split(256)])
                for view in views
                for each in (view, view.flip(-1))
            ]
        ).mean(0)


def enlarged(images: Tensor, side: int) -> Tensor:
    """Return images at side × side pixels."""
    return interpolate(images, size=(side, side), mode="bilinear", antialias=True)


def shifted(images: Tensor, right: int, down: int) -> Tensor:
    """Return images shifted by whole pixels, their border replicated."""
    side, edge = images.shape[-1], 4
    padded = pad(images, (edge, edge, edge, edge), mode="replicate")
    return padded[:, :, edge + down : edge + down + side, edge + right : edge + right + side]


def main() -> None:
    """Print a line for each kind of views, and one for the images with and without copies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a trained run")
    parser.add_argument("--root", type=Path, default=Path(), help="folder of the study's artifacts")
    parser.add_argument("--crops", type=int, nargs="*", default=[46], help="sides of ten crops, in pixels")
    arguments = parser.parse_args()
    run = TrainedRun(arguments.run, Layout(arguments.root))
    network, parameters = load_network(arguments.run)
    part = load_part(run.source, "val", torch.device("cpu"))
    images, side = normalise(part.images, parameters.input), parameters.input.size
    views = {"image": [images]}
    for crop in arguments.crops:
        recipe = parameters.recipe.model_copy(update={"test_time_flip": False, "test_time_crop": crop})
        views[f"ten crops of {crop}"] = views_of(images, recipe)
    zoomed = [enlarged(images[:, :, edge : side - edge, edge : side - edge], side) for edge in ZOOMS]
    views["14 views"] = [images, *(shifted(images, *shift) for shift in SHIFTS), *zoomed]
    split = read_frame(run.data["split"])
    pixels = read_frame(run.layout.faces(parameters.dataset), ["pixels"])["pixels"].to_numpy()
    train = split.loc[(split["fold"] == run.fold) & (split["part"] == "train"), "sample"].to_numpy()
    copies = np.isin(pixels[part.samples], pixels[train])
    for name, own in views.items():
        right = (probabilities(network, own).argmax(1) == part.labels).numpy()
        print(
            f"{name}: {right.mean():.2%} of {len(right):,}; {right[copies].mean():.2%} of {copies.sum():,} with an "
            f"exact copy in train, {right[~copies].mean():.2%} of the {(~copies).sum():,} others",
            flush=True,
        )


if __name__ == "__main__":
    main()
