"""The explanation of a network: every method's map of every sample, and their scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fer.evaluation.cost import flops
from fer.evaluation.intervals import mean_interval
from fer.explain.attention import crops_of_transformer, own_maps, remarks
from fer.explain.gradcam import gradcam, last_map_layers
from fer.explain.occlusion import count_windows, occlusion
from fer.explain.passes import probabilities
from fer.explain.planes import branches_of
from fer.explain.scores import random_map, score
from fer.params import Explain
from fer.progress import track

WRONG, DROP, CAM, RANDOM = "occlusion, wrong", "occlusion, drop", "Grad-CAM", "random"
METHODS = {
    WRONG: "share of the occluding windows over a pixel with a wrong prediction; for correctly classified images",
    DROP: "mean drop of the true class's probability over the occluding windows over a pixel",
    CAM: "Grad-CAM of the true class on the last map that has places, each image's map divided by its maximum",
    RANDOM: "the control of the scores: a smooth random map",
}


@dataclass(frozen=True)
class Explanation:
    """What was found of n samples.

    `maps`: for each method float32 (n, planes, side, side), NaN where a method says nothing about a sample; those of
    the system's own attention come last. `crops`: float32 as the network's images, what its spatial transformer made of
    them, or None. `correct`: bool (n,), which samples are classified correctly. `predicted`: int (n,).
    `scores`: for each method and for the random control {"deletion": (n,), "insertion": (n,)}, NaN for a sample that is
    classified wrongly.
    """

    maps: dict[str, np.ndarray]
    crops: np.ndarray | None
    correct: np.ndarray
    predicted: np.ndarray
    scores: dict[str, dict[str, np.ndarray]]
    remarks: list[str]


def explain_network(
    network: nn.Module, images: Tensor, labels: Tensor, samples: np.ndarray, parameters: Explain
) -> Explanation:
    """Explain a network in evaluation mode by its answers on some images.

    Args:
        images: float (n, planes·channels, side, side) as the network sees them, side > 1.
        labels: int64 (n,), on the images' device.
        samples: int (n,), their numbers, which seed what is random.
    """
    planes, side, true = len(branches_of(network)), images.shape[-1], labels.cpu().numpy()
    predicted = probabilities(network, images).argmax(1).numpy()
    correct, own = predicted == true, attend(network, images)
    maps = {name: np.full((len(images), planes, side, side), np.nan, np.float32) for name in (WRONG, DROP)}
    maps |= {CAM: share_of_maximum(gradcam(network, images, labels).numpy())}
    maps |= {name: values[:, None].numpy() for name, values in own.items()}
    methods = (*maps, RANDOM)
    scores = {name: {kind: np.full(len(images), np.nan) for kind in ("deletion", "insertion")} for name in methods}
    for number in track(range(len(images)), len(images), "explain"):
        image, label = images[number], int(true[number])
        windows = (parameters.windows, parameters.stride, parameters.removed)
        wrong, drop = occlusion(network, image, label, planes, *windows)
        maps[DROP][number] = drop.numpy()
        if not correct[number]:
            continue  # what is wrong to begin with can neither turn wrong nor fall from the first place
        maps[WRONG][number] = wrong.numpy()
        of_image = {name: values[number] for name, values in maps.items()}
        for name, areas in scores_of(network, image, label, of_image, int(samples[number]), parameters).items():
            for kind, area in areas.items():
                scores[name][kind][number] = area
    crops = crops_of_transformer(network, images)
    notes = [*resolution(network, images[:1]), *remarks(network, own, crops)]
    return Explanation(maps, None if crops is None else crops.numpy(), correct, predicted, scores, notes)


def resolution(network: nn.Module, image: Tensor) -> list[str]:
    """Return how many places Grad-CAM distinguishes before its map is upsampled."""
    sizes = {plane: "×".join(map(str, layer.places)) for plane, layer in last_map_layers(network, image).items()}
    kinds = sorted(set(sizes.values()))
    return [
        f"Grad-CAM's map has {' or '.join(kinds)} places, upsampled to the image's {image.shape[-1]} pixels a side."
    ]


def scores_of(
    network: nn.Module, image: Tensor, label: int, maps: dict[str, np.ndarray], sample: int, parameters: Explain
) -> dict[str, dict[str, float]]:
    """Return the deletion and insertion scores of one image by its maps (planes, side, side), and by a random one."""
    planes, side, _ = next(iter(maps.values())).shape
    control = {RANDOM: random_map(planes, side, np.random.default_rng(sample))}
    settings = (parameters.steps, parameters.blur, parameters.removed)
    return {  # every method breaks its ties alike: its score does not depend on which others there are
        name: score(network, image, label, values, *settings, np.random.default_rng(sample))
        for name, values in (maps | control).items()
    }


def attend(network: nn.Module, images: Tensor, batch: int = 64) -> dict[str, Tensor]:
    """Return `own_maps` of many images, a batch at a time."""
    parts = [own_maps(network, some) for some in images.split(batch)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def share_of_maximum(maps: np.ndarray) -> np.ndarray:
    """Return maps (n, …), at least 0, each divided by its maximum, so that no image outweighs others in a mean.

    A map of zeros stays one.
    """
    highest = maps.max(tuple(range(1, maps.ndim)), keepdims=True)
    return np.divide(maps, highest, out=np.zeros_like(maps), where=highest > 0)


def affordable(network: nn.Module, image: Tensor, classes: int, parameters: Explain) -> int:
    """Return how many samples of each expression the budget allows: at least 1, at most `parameters.samples`.

    Args:
        image: float (planes·channels, side, side).
    """
    planes = len(branches_of(network))
    methods = len(METHODS) + len(own_maps(network, image[None]))
    passes = planes * count_windows(image.shape[-1], parameters.windows, parameters.stride)
    passes += 2 * (parameters.steps + 1) * methods
    allowed = int(1e12 * parameters.budget / (classes * passes * max(1, flops(network, image[None]))))
    return max(1, min(parameters.samples, allowed))


def mean_of_classes(values: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the mean over the samples of each class, float32 (classes, …); samples that are NaN are left out.

    A class without samples is NaN.
    """
    known = ~np.isnan(values.reshape(len(values), -1)).any(1)
    means = np.full((classes, *values.shape[1:]), np.nan, np.float32)
    for code in np.unique(labels[known]):
        means[code] = values[known & (labels == code)].mean(0, dtype=np.float64)
    return means


def summary(scores: dict[str, dict[str, np.ndarray]], clusters: np.ndarray) -> list[dict]:
    """Return the mean scores of each method with 95 % intervals, and those of its difference from the random map.

    Args:
        clusters: (n,) names of what a sample shares with others (see `fer.evaluation.intervals`).

    Returns:
        [{"name", "clusters": number of those of the samples scored, "deletion": {"mean", "interval", "above_random",
        "above_random_interval"}, "insertion": the same}]; [] where no sample was classified correctly.
    """
    scored = ~np.isnan(scores[RANDOM]["deletion"])
    if not scored.any():
        return []
    rows = []
    for name, kinds in scores.items():
        row: dict = {"name": name, "clusters": len(np.unique(clusters[scored]))}
        for kind, values in kinds.items():
            row[kind] = average(values[scored], clusters[scored])
            if name != RANDOM:
                above = average((values - scores[RANDOM][kind])[scored], clusters[scored])
                row[kind] |= {"above_random": above["mean"], "above_random_interval": above["interval"]}
        rows.append(row)
    return rows


def average(values: np.ndarray, clusters: np.ndarray) -> dict:
    """Return the mean of a score over samples and its 95 % interval over clusters, ready for JSON."""
    found = mean_interval(values, clusters)
    return {"mean": float(values.mean()), "interval": [found.low, found.high]}
