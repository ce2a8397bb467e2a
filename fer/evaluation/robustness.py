"""How accuracy falls when the test images are corrupted, by five corruptions of three severities.

After Hendrycks and Dietterich (Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR
2019), whose severities 1, 3 and 5 these are. They chose magnitudes for two sides of an image, CIFAR-10-C (32 pixels)
and ImageNet-C (224); those of another side are interpolated, in the logarithms of both, and held beyond the two ends:

    corruption       magnitude                             32 pixels        224 pixels
    gaussian_blur    σ in pixels                           0.4, 0.7, 1      1, 3, 6
    gaussian_noise   σ where white is 1                    0.04, 0.08, 0.1  0.08, 0.18, 0.38
    jpeg             quality, 1 to 100                     80, 58, 40       25, 15, 7
    low_light        photons of a white pixel              250, 125, 62.5   30, 15, 7.5
    occlusion        side of the square, of the image's    0.2, 0.35, 0.5   0.2, 0.35, 0.5

Two are not theirs. Low light leaves a half, a quarter and an eighth of the light at which a white pixel counts 500
photons (32 pixels) or 60 (224), their mildest shot noise: so the image is darker and, counting fewer photons, noisier
(as in 3D Common Corruptions, Kar et al., CVPR 2022). Occlusion covers a random square with the image's mean colour
(after DeVries and Taylor's cutout, arXiv 1708.04552, whose square has half of CIFAR's side).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import torch

from fer.errors import FerError
from fer.evaluation.metrics import confusion, share
from fer.evaluation.predictions import evenly_spaced
from fer.training.data import Part

SIDES = (32, 224)  # of the images that the magnitudes are given for, in pixels
MAGNITUDES = {  # for each of SIDES, by severity
    "gaussian_blur": ((0.4, 0.7, 1.0), (1.0, 3.0, 6.0)),
    "gaussian_noise": ((0.04, 0.08, 0.1), (0.08, 0.18, 0.38)),
    "jpeg": ((80, 58, 40), (25, 15, 7)),
    "low_light": ((250, 125, 62.5), (30, 15, 7.5)),
    "occlusion": ((0.2, 0.35, 0.5), (0.2, 0.35, 0.5)),
}
FULL_LIGHT = (500, 60)  # photons of a white pixel of an image that is not dark, for each of SIDES
SEVERITIES = (1, 2, 3)
COLUMNS = ("corruption", "severity", "n", "accuracy", "macro_recall")


def robustness(classify: Callable[[Part], np.ndarray], part: Part, channels: int, most: int) -> pd.DataFrame:
    """Return accuracy and macro recall, in [0, 1], of a network on corrupted test images.

    Args:
        classify: returns probabilities or logits (n, classes) of a part, as the network is evaluated.
        part: the test part; if it has more than `most` images, that many are taken, at even spacing.
        channels: of one plane (see `corrupt`).
        most: how many images to corrupt: the table costs fifteen more predictions of each.

    Returns:
        One row per corruption and severity with columns `COLUMNS`, after one of the same images untouched (corruption
        "none", severity 0). No rows where there is no image to corrupt: 1×1 pixels, the view "boxes".
    """
    if part.images.shape[-1] == 1:
        return pd.DataFrame(columns=list(COLUMNS))
    rows = evenly_spaced(len(part), most)
    part = replace(part, images=part.images[rows], labels=part.labels[rows], samples=part.samples[rows])
    images, labels = part.images.cpu().numpy(), part.labels.cpu().numpy()
    table = [("none", 0, *figures(labels, classify(part)))]
    for corruption in MAGNITUDES:
        for severity in SEVERITIES:
            corrupted = torch.from_numpy(corrupt(images, part.samples, channels, corruption, severity))
            answer = classify(replace(part, images=corrupted.to(part.images.device)))
            table.append((corruption, severity, *figures(labels, answer)))
    return pd.DataFrame(table, columns=list(COLUMNS))


def figures(labels: np.ndarray, answer: np.ndarray) -> tuple[int, float, float]:
    """Return n, accuracy, and the recall averaged over the classes that occur in `labels`."""
    matrix = confusion(labels, answer.argmax(1), answer.shape[1])
    recall = share(matrix.diagonal(), matrix.sum(1))[matrix.any(1)]
    return len(labels), float(matrix.trace() / len(labels)), float(recall.mean())


def corrupt(
    images: np.ndarray, samples: np.ndarray, channels: int, corruption: str, severity: int, seed: int = 0
) -> np.ndarray:
    """Return corrupted images, uint8 like `images` (n, planes × channels, side, side).

    Each plane (a view or modality of the sample) is an image of its own: it is corrupted by itself, but with the same
    draw, so that a square lies in the same place of each. What is drawn depends only on seed, corruption and sample,
    not on the batch or the severity: the severities of one image are degrees of the same disturbance.

    Args:
        samples: int (n,), rows of the images in the dataset's index.
        channels: of one plane, 1 (grey) or 3 (RGB). Grey images repeated in three channels stay grey, as they would
            have been corrupted before they were repeated.
    """
    if corruption not in MAGNITUDES or severity not in SEVERITIES:
        raise FerError(
            f"unknown corruption {corruption!r} of severity {severity}. Known: {', '.join(MAGNITUDES)}, "
            f"each of severity {', '.join(map(str, SEVERITIES))}"
        )
    kind, size = list(MAGNITUDES).index(corruption), magnitude(corruption, severity, images.shape[-1])
    corrupted = np.empty_like(images)
    for image, target, sample in zip(images, corrupted, samples, strict=True):
        for first in range(0, len(image), channels):
            plane = image[first : first + channels].transpose(1, 2, 0)
            plane = plane[..., :1] if (plane == plane[..., :1]).all() else plane
            generator = np.random.default_rng([seed, kind, int(sample)])
            disturbed = CORRUPTIONS[corruption](np.ascontiguousarray(plane), size, generator)
            target[first : first + channels] = disturbed.reshape(plane.shape).transpose(2, 0, 1)
    return corrupted


def magnitude(corruption: str, severity: int, side: int) -> float:
    """Return the magnitude of a corruption for images of `side` pixels (see the table above)."""
    return between([values[severity - 1] for values in MAGNITUDES[corruption]], side)


def between(values: tuple[float, float], side: int) -> float:
    """Return what lies between the values for SIDES at `side`, in the logarithms of both."""
    return float(np.exp(np.interp(np.log(side), np.log(SIDES), np.log(values))))


# --- the corruptions: an image uint8 (side, side, channels), a magnitude, a generator → the same, corrupted ----------


def gaussian_blur(image: np.ndarray, sigma: float, generator: np.random.Generator) -> np.ndarray:
    """Blur by a Gaussian of `sigma` pixels."""
    return cv2.GaussianBlur(image, (0, 0), sigma)


def gaussian_noise(image: np.ndarray, sigma: float, generator: np.random.Generator) -> np.ndarray:
    """Add normal noise; `sigma` is a fraction of white."""
    return pixels(image / 255 + sigma * generator.standard_normal(image.shape))


def jpeg(image: np.ndarray, quality: float, generator: np.random.Generator) -> np.ndarray:
    """Encode and decode; three channels are RGB."""
    coloured = image.shape[-1] == 3
    encoded = cv2.imencode(
        ".jpg",
        cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if coloured else image,
        [cv2.IMWRITE_JPEG_QUALITY, round(quality)],
    )[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR if coloured else cv2.IMREAD_GRAYSCALE)
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB) if coloured else decoded


def low_light(image: np.ndarray, photons: float, generator: np.random.Generator) -> np.ndarray:
    """Draw each pixel from a Poisson distribution; `photons` is the mean count of a white one."""
    return pixels(generator.poisson(image / 255 * photons) / between(FULL_LIGHT, len(image)))


def occlusion(image: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Cover a square at a random place, `share` of the image's side wide, with the image's mean colour."""
    side = round(share * len(image))
    top, left = (generator.random(2) * (len(image) - side)).round().astype(int)
    covered = image.copy()
    covered[top : top + side, left : left + side] = image.mean((0, 1)).round()
    return covered


def pixels(values: np.ndarray) -> np.ndarray:
    """Return values, white being 1, as uint8."""
    return (255 * values.clip(0, 1)).round().astype(np.uint8)


CORRUPTIONS: dict[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "gaussian_blur": gaussian_blur,
    "gaussian_noise": gaussian_noise,
    "jpeg": jpeg,
    "low_light": low_light,
    "occlusion": occlusion,
}
