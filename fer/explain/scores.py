"""Maps compared by number: deletion and insertion, Petsiuk, Das, Saenko, RISE: randomized input sampling for
explanation of black-box models, BMVC 2018, arXiv 1806.07421.

Pixels are taken out of the image, or put into a blurred one, in the order of the map. A good map makes the probability
of the true class fall early, or rise early: a small area under the first curve, a large one under the second.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional

from fer.explain.passes import altered_probabilities

GRID = 6  # cells along the side of the random map: about as coarse as the maps that it is the control of


def removal_order(maps: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the flat indices of a map's pixels, the most salient first and equal ones in random order."""
    shuffled = generator.permutation(maps.size)
    return shuffled[np.argsort(-maps.ravel()[shuffled], kind="stable")]


def stepwise(maps: np.ndarray, steps: int, generator: np.random.Generator) -> Tensor:
    """Return which pixels are gone after 0, 1, … `steps` steps of equal size, bool (steps + 1, planes, side, side)."""
    ranks = np.empty(maps.size, int)
    ranks[removal_order(maps, generator)] = np.arange(maps.size)
    counts = np.linspace(0, maps.size, steps + 1).round()
    return torch.from_numpy(ranks < counts[:, None]).unflatten(1, maps.shape)


def random_map(planes: int, side: int, generator: np.random.Generator) -> np.ndarray:
    """Return the control: a smooth random map (planes, side, side).

    Smooth, because single pixels strewn over an image hurt a convolutional network more than any patch of it: against
    such noise every map would lose at deletion.
    """
    cells = torch.from_numpy(generator.random((1, planes, GRID, GRID)))
    return functional.interpolate(cells, (side, side), mode="bilinear")[0].numpy()


def blurred(image: Tensor, blur: float) -> Tensor:
    """Return an image without its detail; `blur` is the Gaussian's σ as a fraction of the side, cut off at 2 σ."""
    sigma = blur * image.shape[-1]
    smooth = gaussian_filter(image.cpu().numpy(), sigma, truncate=2, mode="mirror", axes=(1, 2))
    return torch.from_numpy(smooth).to(image.device)


def score(
    network: nn.Module,
    image: Tensor,
    label: int,
    maps: np.ndarray,
    steps: int,
    blur: float,
    value: float,
    generator: np.random.Generator,
) -> dict[str, float]:
    """Return the areas under the deletion and the insertion curve of one image, in [0, 1].

    Args:
        image: float (planes·channels, side, side); the pixels of all planes are ranked together.
        maps: float (planes, side, side), finite.
        value: of a removed pixel, in the network's own units.
    """
    masks = stepwise(maps, steps, generator)
    gone = altered_probabilities(network, image, masks, image.new_tensor(value))[:, label]
    come = altered_probabilities(network, blurred(image, blur), masks, image)[:, label]
    return {"deletion": area(gone), "insertion": area(come)}


def area(curve: Tensor) -> float:
    """Return the area under a curve over [0, 1], by the trapezoidal rule."""
    return float(np.trapezoid(curve.numpy().astype(np.float64), dx=1 / (len(curve) - 1)))
