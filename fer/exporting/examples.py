"""The images on which an exported file is compared with its original, and those that calibrate its quantisation."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fer.errors import FerError
from fer.evaluation.predictions import evenly_spaced
from fer.runs import TrainedRun
from fer.training.data import load_part

RANDOM = 64  # images to compare on where no data are available


@dataclass(frozen=True)
class Examples:
    """Images, uint8 (n, planes × channels, size, size); `labels`, int64 (n,), and `samples` of a dataset's, or None."""

    images: np.ndarray
    labels: np.ndarray | None = None
    samples: np.ndarray | None = None

    def __str__(self) -> str:
        kind = "random images" if self.labels is None else "test images"
        return f"{len(self.images):,} {kind}"


def missing_data(run: TrainedRun) -> str | None:
    """Return which file that a run was trained on is missing or has changed; None if all are there."""
    for path in run.data.values():
        if not path.exists():
            return f"{path} is missing"
    try:
        run.require_same(run.data)
    except FerError as error:
        return str(error).partition(":")[0]
    return None


def test_images(run: TrainedRun) -> Examples:
    """Return the whole test part of a run's fold."""
    part = load_part(run.source, "test")
    return Examples(part.images.numpy(), part.labels.numpy(), part.samples)


def training_images(run: TrainedRun, count: int) -> np.ndarray:
    """Return `count` of a run's training images at even spacing (all, where there are fewer)."""
    part = load_part(run.source, "train")
    return part.images.numpy()[evenly_spaced(len(part), min(count, len(part)))]


def random_images(shape: tuple[int, int, int]) -> Examples:
    """Return images of random spots, the same for the same shape, to compare on if there are no others."""
    height, width = shape[1:]
    generator = np.random.default_rng(0)
    images = np.empty((RANDOM, *shape), np.uint8)
    for image in images.reshape(-1, height, width):
        spots = generator.integers(0, 256, (6, 6), np.uint8)
        image[:] = cv2.resize(spots, (width, height), interpolation=cv2.INTER_CUBIC)
    return Examples(images)
