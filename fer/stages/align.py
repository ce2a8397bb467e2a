"""align: from raw to `data/faces/<dataset>.parquet` (detection, landmarks) and `.npy` (the face crops, uint8)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from fer.errors import FerError
from fer.faces import crops, landmarks
from fer.parallel import ordered_map
from fer.params import Alignment
from fer.progress import track
from fer.storage import array_writer, open_parquet, read_rows, write_rows

SCHEMA = pa.schema(
    [
        ("sample", pa.int32()),
        ("detected", pa.bool_()),
        ("used", pa.bool_()),  # false: dropped for want of a detection
        ("blank", pa.bool_()),  # one constant value: kept, counted, reported
        ("height", pa.int32()),  # of the original, pixels
        ("width", pa.int32()),
        ("landmarks", pa.list_(pa.float32())),  # 68 × (x, y) in pixels of the original, null without a detection
    ]
)


def align(raw: Path, parameters: Alignment, faces: Path, crops_file: Path) -> str:
    """Detect, crop and write every original of `raw` in its order; return a line for the terminal.

    `faces` gets a row a sample; `crops_file` the uint8 array (samples, size, size[, 3]).
    """
    total = open_parquet(raw).metadata.num_rows
    shape = (total, parameters.size, parameters.size) + ((3,) if parameters.channels == 3 else ())
    outcome: Counter = Counter()
    with array_writer(crops_file, shape) as writer:

        def rows() -> Iterator[dict]:
            results = ordered_map(partial(face, parameters), read_rows(raw, ["path", "image"]), prepare_worker)
            for number, (row, crop) in enumerate(track(results, total, "align")):
                writer.append(crop)
                outcome.update(key for key in ("detected", "blank") if row[key])
                yield {"sample": number, **row}

        write_rows(faces, SCHEMA, rows())
    found, blank = outcome["detected"], outcome["blank"]
    return f"{found:,} of {total:,} faces detected ({found / total:.1%}), {blank} blank images"


def prepare_worker() -> None:
    cv2.setNumThreads(1)
    landmarks.models()


def face(parameters: Alignment, original: dict) -> tuple[dict, np.ndarray]:
    """Return the faces row (without its number) and the crop of one original."""
    image = crops.decode(original["image"], parameters.channels, original["path"])
    points = landmarks.detect(crops.grey(image), parameters.enlarge, parameters.padding)
    if points is None and parameters.missing == "error":
        raise FerError(f"no face detected in {original['path']}; alignment.missing may be full_frame or drop instead")
    if points is not None and parameters.crop == "similarity":
        crop = crops.similarity(image, points, parameters.size)
    else:
        crop = crops.distributed(image, parameters.size)
    row = {
        "detected": points is not None,
        "used": points is not None or parameters.missing == "full_frame",
        "blank": bool(image.min() == image.max()),
        "height": image.shape[0],
        "width": image.shape[1],
        "landmarks": None if points is None else points.ravel().tolist(),
    }
    return row, crop
