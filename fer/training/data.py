"""The data of one fold: the images of a part as one uint8 tensor on the device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fer.errors import FerError
from fer.faces.box_geometry import box_numbers, constant_blocks
from fer.faces.fitting import fit
from fer.params import Input
from fer.runs import Source
from fer.storage import read_array, read_frame

ORIGINAL = -1  # in place of a variant's row
NAMED = 20  # samples that a message names


@dataclass(frozen=True)
class Part:
    """Images of one part of a fold.

    `images`: uint8 (n, planes × channels, size, size), planes being modalities, then views, stacked; `labels`: int64
    (n,); `samples`: int32 (n,), their rows in the index (of a pair, that of its visible image).
    """

    images: Tensor
    labels: Tensor
    samples: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def load_part(source: Source, part: str, device="cpu") -> Part:
    """Read one part of one fold, resized to the system's input, onto the device.

    Only "train" has the offline variants, after the originals, if the recipe has any.

    Raises:
        FerError: the part is empty, lacks a modality, or a variant was made of a sample that is not in train; or
            samples of the fold, in any part, do not have one partner in a modality of `source`.
    """
    index = read_frame(source.files["index"], ["sample", "label", "modality", "pair"])
    items = split_after_augmentation(source, index) if source.augment_before_split else split_as_assigned(source, index)
    require_partners(source, index, items["sample"].unique())
    items = items[items["part"] == part]
    if not len(items):
        raise FerError(
            f"{source.files['split']}: no {source.modalities[0]} sample in {part} of fold {source.fold}; does the "
            f"dataset have this modality?"
        )
    samples = items["sample"].to_numpy()
    planes = [
        plane(source, array, modality, partners(index, samples, modality), items["variant"].to_numpy())
        for modality in source.modalities
        for array in source.arrays
    ]
    labels = index["label"].to_numpy()[samples].astype(np.int64)
    images = torch.from_numpy(planes[0] if len(planes) == 1 else np.concatenate(planes, axis=1))
    return Part(images.to(device), torch.from_numpy(labels).to(device), samples)


def split_as_assigned(source: Source, index: pd.DataFrame) -> pd.DataFrame:
    """Return sample, part and variant (a row of `augmented`, or ORIGINAL) of every image of the fold, as split."""
    split = read_frame(source.files["split"])
    split = split[split["fold"] == source.fold]
    own = index["modality"].to_numpy()[split["sample"]] == source.modalities[0]
    originals = split.loc[own, ["sample", "part"]].assign(variant=ORIGINAL)
    if "augmented" not in source.files:
        return originals
    made = variants(source, index, source.modalities[0])
    training = originals.loc[originals["part"] == "train", "sample"].to_numpy()
    if not source.augment_before_split and (strays := augmented_strays(training, made["sample"].to_numpy())):
        raise FerError(
            f"{source.files['augmented_index']} holds variants of {len(strays)} samples that are not in train of fold "
            f"{source.fold}, such as {strays[:5]}: they were made for another split. Run augment again."
        )
    return pd.concat([originals, made[["sample", "variant"]].assign(part="train")], ignore_index=True)


def augmented_strays(train: Iterable[int], sources: Iterable[int]) -> list[int]:
    """Return, sorted, the sources of offline-augmented copies that are not among the train samples: each is a leak."""
    return sorted(set(map(int, sources)) - set(map(int, train)))


def split_after_augmentation(source: Source, index: pd.DataFrame) -> pd.DataFrame:
    """Return `split_as_assigned`'s table with originals and variants dealt to the parts at random, in the same shares.

    The defect of augmenting before splitting: variants of one photograph lie in training and in test.
    """
    items = split_as_assigned(source, index)
    originals = items[items["variant"] == ORIGINAL]
    shares = originals["part"].value_counts(normalize=True)
    order = np.random.default_rng(0).permutation(len(items))
    ends = np.round(np.cumsum([shares["train"], shares["val"]]) * len(items)).astype(int)
    parts = np.empty(len(items), object)
    for name, places in zip(("train", "val", "test"), np.split(order, ends), strict=True):
        parts[places] = name
    return items.assign(part=parts)


def variants(source: Source, index: pd.DataFrame, modality: str) -> pd.DataFrame:
    """Return sample, transform, draw and row (`variant`) of the offline variants of one modality."""
    made = read_frame(source.files["augmented_index"])
    made["variant"] = np.arange(len(made))
    return made[index["modality"].to_numpy()[made["sample"]] == modality]


def require_partners(source: Source, index: pd.DataFrame, samples: np.ndarray) -> None:
    """Raise a `FerError` that names all samples which do not have exactly one partner in a modality of the source."""
    own = index.set_index("sample").loc[samples]
    for modality in source.modalities[1:]:
        pairs = index.loc[index["modality"] == modality, "pair"].value_counts()
        found = own["pair"].map(pairs).fillna(0)
        if (found == 1).all():
            continue
        wrong = found[found != 1].astype(int)
        paths = read_frame(source.files["index"], ["path"])["path"].iloc[wrong.index[:NAMED]]
        named = [f"{path} ({count or 'no'} {modality})" for path, count in zip(paths, wrong, strict=False)]
        more = f" and {len(wrong) - NAMED:,} more" if len(wrong) > NAMED else ""
        raise FerError(
            f"{source.files['index']}: a fused run needs exactly one {modality} image in the pair of each "
            f"{source.modalities[0]} image; {len(wrong):,} of {len(own):,} in fold {source.fold} have none or several: "
            f"{', '.join(named)}{more}.\n  What to do: add the partners, remove these images from the source, or "
            f"train on one modality."
        )


def partners(index: pd.DataFrame, samples: np.ndarray, modality: str) -> np.ndarray:
    """Return, for each sample, the row of the index that shows it in `modality`: itself or its partner."""
    if (index["modality"].to_numpy()[samples] == modality).all():
        return samples
    rows = index[index["modality"] == modality].dropna(subset="pair").set_index("pair")["sample"]
    return rows.loc[index["pair"].to_numpy()[samples]].to_numpy()


def plane(source: Source, array: str, modality: str, samples: np.ndarray, variant: np.ndarray) -> np.ndarray:
    """Return one view in one modality of samples or of their variants, uint8 (n, channels, size, size)."""
    files = source.files
    if array == "boxes":
        return box_numbers(files["boxes"], files["faces"])[samples][:, :, None, None]
    if source.constant_image:
        return fit(constant_blocks(files["raw"], files["boxes"], files[array], array)[samples], source.input)
    originals = variant == ORIGINAL
    images = fit(read_array(files[array])[samples[originals]], source.input)
    if originals.all():
        return images
    # The variants were listed for the first modality; those of its partner are the ones of the same transform and draw
    index = read_frame(files["index"], ["sample", "modality", "pair"])
    key = ["sample", "transform", "draw"]
    rows = variants(source, index, modality).set_index(key)["variant"]
    wanted = read_frame(files["augmented_index"], key).iloc[variant[~originals]]
    wanted = wanted.assign(sample=samples[~originals])
    made = read_array(files["augmented"])[rows.loc[list(wanted.itertuples(index=False, name=None))]]
    merged = np.empty((len(samples), *images.shape[1:]), np.uint8)
    merged[originals], merged[~originals] = images, fit(made, source.input)
    return merged


def normalise(images: Tensor, input_spec: Input) -> Tensor:
    """Return uint8 images as the float input of the network: scaled to [0, 1], then (x - mean) / std."""
    return standardise(images.float().mul_(1 / 255), input_spec)


def standardise(images: Tensor, input_spec: Input) -> Tensor:
    """Return (x - mean) / std of float images in [0, 1], (batch, planes × channels, height, width); changes them."""
    if isinstance(input_spec.mean, float) and isinstance(input_spec.std, float):
        return images.sub_(input_spec.mean).div_(input_spec.std)
    planes = images.shape[1] // input_spec.channels
    mean, std = (
        per_channel(tuple(value if isinstance(value, list) else [value] * input_spec.channels) * planes, images.device)
        for value in (input_spec.mean, input_spec.std)
    )
    return images.sub_(mean).div_(std)


@cache  # a copy to a GPU waits until it has done all that it was given: not in every step
def per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return one number for each channel, float32 (channels, 1, 1)."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device)[:, None, None]
