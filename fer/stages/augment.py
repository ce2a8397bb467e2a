"""augment: offline variants of a fold's training crops, `data/augmented/<experiment>/<fold>.npy` and `.parquet`.

Always after the split and only of training samples: variants of a test face made before splitting would leak. The
experiments with the defect `augment_before_split`, which makes variants of every sample, show what that adds.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from fer.errors import FerError
from fer.parallel import ordered_map
from fer.params import OfflineAugmentation
from fer.progress import track
from fer.reporting.sheets import variants_sheet
from fer.runs import Run
from fer.storage import array_writer, read_array, read_frame, write_rows
from fer.training.offline import TRANSFORMS, variants
from fer.wording import counted

SCHEMA = pa.schema([
    ("sample", pa.int32()),  # the original, a row of the index
    ("transform", pa.string()),
    ("draw", pa.int8()),
])  # fmt: skip
SHOWN = 6  # originals on the sheet


def augment(run: Run, sheet: Path) -> str:
    """Write the variants of the fold's training crops and a sheet of samples; return a line for the terminal."""
    parameters = run.recipe.offline
    if parameters is None:
        raise FerError(f"the recipe of {run.name} has no `offline`: nothing is augmented before training")
    originals = augmented_samples(run)
    if run.experiment.views != "face":
        raise FerError(f"{run.name}: offline variants are made from faces; its views are {run.experiment.views!r}")
    crops = read_array(run.data["crops"])
    shape = (len(originals) * len(TRANSFORMS) * parameters.draws, *crops.shape[1:])
    names = [(transform, draw) for transform in TRANSFORMS for draw in range(parameters.draws)]
    shown: list[tuple[np.ndarray, list[np.ndarray]]] = []

    with array_writer(run.data["augmented"], shape) as writer:

        def rows() -> Iterator[dict]:
            work = ((crops[sample], seed) for sample, seed in originals.itertuples(index=False))
            results = ordered_map(partial(variants_of, parameters), work, prepare_worker)
            for sample, made in zip(originals["sample"], track(results, len(originals), "augment"), strict=True):
                if len(shown) < SHOWN:
                    shown.append((crops[sample], made))
                for (transform, draw), variant in zip(names, made, strict=True):
                    writer.append(variant)
                    yield {"sample": sample, "transform": transform, "draw": draw}

        count = write_rows(run.data["augmented_index"], SCHEMA, rows())
    variants_sheet(shown, names, run.name, sheet)
    return f"{counted(count, 'variant')} of {counted(len(originals), 'sample')}: {len(names) + 1} times the images"


def augmented_samples(run: Run) -> pd.DataFrame:
    """Return sample and seed of what is augmented in a fold; the two images of a pair share their seed."""
    split = read_frame(run.data["split"])
    split = split[split["fold"] == run.fold]
    if not run.experiment.augment_before_split:
        split = split[split["part"] == "train"]
    index = read_frame(run.data["index"], ["sample", "modality", "pair"])
    chosen = split[["sample"]].merge(index, on="sample")
    chosen = chosen[chosen["modality"].isin(run.source.modalities)]
    unit = chosen["pair"].fillna(chosen["sample"].astype(str))
    seed = [zlib.crc32(f"{run.name}/{run.fold}/{name}".encode()) for name in unit]
    return chosen[["sample"]].assign(seed=seed)


def prepare_worker() -> None:
    """Keep torch in a worker process to one thread."""
    torch.set_num_threads(1)


def variants_of(parameters: OfflineAugmentation, work: tuple[np.ndarray, int]) -> list[np.ndarray]:
    """Return the variants of one crop, uint8 (height, width) or (height, width, 3)."""
    crop, seed = work
    channels_first = np.array(np.atleast_3d(crop).transpose(2, 0, 1), order="C")  # a copy: crops are read-only
    made = variants(torch.from_numpy(channels_first), parameters, seed)
    return [image.numpy().transpose(1, 2, 0).reshape(crop.shape) for image in made]
