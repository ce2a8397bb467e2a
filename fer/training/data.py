"""Training data: one fold's images as a uint8 tensor on the device, batched by index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from fer import leakage
from fer.errors import FerError
from fer.params import Input
from fer.storage import open_parquet, require


@dataclass(frozen=True)
class Part:
    """Images of one part of a fold.

    `images`: uint8 (n, channels, size, size); `labels`: int64 (n,); `samples`: int32 (n,), their rows in the index.
    """

    images: Tensor
    labels: Tensor
    samples: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def load_part(
    crops: Path,
    index: Path,
    split: Path,
    fold: str,
    part: str,
    input: Input,
    device="cpu",
    modality: str = "visible",
    augmented: Path | None = None,
    augmented_index: Path | None = None,
) -> Part:
    """Read one part of one fold, resized to the system's input, onto the device.

    `augmented` (crops) and `augmented_index` are the offline variants of a recipe that asks for them: "train" alone
    gets them, after the originals.

    Raises:
        FerError: the part is empty, or a variant was made of a sample that is not in train.
    """
    table = open_parquet(index).read(["sample", "label", "modality"]).to_pandas()
    members = open_parquet(split).read().to_pandas().query("fold == @fold and part == @part")["sample"].to_numpy()
    samples = members[table["modality"].to_numpy()[members] == modality]
    if not len(samples):
        raise FerError(f"{split}: no {modality} sample in {part} of fold {fold}; does the dataset have this modality?")
    array = np.load(require(crops), mmap_mode="r")[samples]
    if part == "train" and augmented and augmented_index:
        sources = open_parquet(augmented_index).read(["sample"])["sample"].to_numpy()
        if strays := leakage.augmented_strays(samples, sources):
            raise FerError(
                f"{augmented_index} holds variants of {len(strays)} samples that are not in train of fold {fold}, such "
                f"as {strays[:5]}: it was made for another split. Run augment again."
            )
        array = np.concatenate([array, np.load(require(augmented))])
        samples = np.concatenate([samples, sources])
    labels = table["label"].to_numpy()[samples].astype(np.int64)
    images = torch.from_numpy(fit(array, input)).to(device)
    return Part(images, torch.from_numpy(labels).to(device), samples)


def fit(array: np.ndarray, input: Input) -> np.ndarray:
    """Return uint8 crops (n, height, width[, 3]) as (n, channels, size, size)."""
    if array.shape[1] != input.size:
        method = cv2.INTER_AREA if input.size < array.shape[1] else cv2.INTER_LINEAR
        array = np.stack([cv2.resize(crop, (input.size, input.size), interpolation=method) for crop in array])
    if array.ndim == 3:
        return np.repeat(array[:, None], input.channels, axis=1)
    if input.channels == 1:
        return np.stack([cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in array])[:, None]
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2))


def normalise(images: Tensor, input: Input) -> Tensor:
    """Return uint8 images as the float input of the network: scaled to [0, 1], then (x - mean) / std."""
    return images.float().mul_(1 / (255 * input.std)).sub_(input.mean / input.std)


def shuffled_batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield index tensors that cover 0…count-1 once in random order, the last one shorter."""
    yield from torch.randperm(count, generator=generator).split(size)
