"""Small datasets for the tests of split and of the leakage audit: raw, index and faces with real fingerprints."""

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fer import params
from fer.faces import crops, fingerprint

CLASSES = ["angry", "happy", "sad"]


def dataset(subjects=None, parts=("train", "val", "test"), **audit):
    """Return parameters with three classes, subjects, parts that the owners made, and an audit."""
    own = params.load_dataset("fer2013")
    changes = {
        "title": "Tiny",
        "classes": CLASSES,
        "subjects": subjects,
        "official_counts": {part: [1, 1, 1] for part in parts},
        "audit": own.audit.model_copy(update=audit),
        "allow_empty_classes": True,
    }
    return own.model_copy(update=changes)


def index_of(rows, **columns):
    """Return an index of `rows` samples; columns not given are empty, labels take turns."""
    empty = {"label": np.arange(rows) % 3, "part": None, "subject": None, "modality": "visible", "pair": None}
    table = pd.DataFrame({"sample": np.arange(rows), **empty, "sequence": None, **columns})
    kinds = {"sample": "int32", "label": "int8"} | dict.fromkeys(["part", "subject", "pair", "sequence"], "string")
    return table.astype(kinds)


def noise(rows, seed=0, size=16):
    """Return images (rows, size, size) of which no two are alike."""
    blocks = np.random.default_rng(seed).integers(0, 256, (rows, size, size)).astype(np.uint8)
    return [cv2.GaussianBlur(image, (0, 0), 0.8) for image in blocks]


def encode(image, kind=".png"):
    return cv2.imencode(kind, image)[1].tobytes()


def write(folder, index, images, used=None):
    """Write raw, index, faces and crops of `images` (arrays, or encoded bytes); return their paths."""
    encoded = [image if isinstance(image, bytes) else encode(image) for image in images]
    decoded = [crops.native(image, "x") for image in encoded]
    faces = pd.DataFrame(
        {
            "sample": index["sample"],
            "detected": True,
            "used": True if used is None else used,
            "blank": np.array([image.min() == image.max() for image in decoded], bool),
            "pixels": [fingerprint.pixels(image) for image in decoded],
            "phash": np.array([fingerprint.perceptual_hash(crops.grey(image)) for image in decoded], np.uint64),
        }
    )
    pq.write_table(pa.table({"image": pa.array(encoded, pa.binary())}), folder / "raw.parquet", row_group_size=8)
    index.to_parquet(folder / "index.parquet")
    faces.to_parquet(folder / "faces.parquet")
    np.save(folder / "faces.npy", [crops.distributed(crops.grey(image), 48) for image in decoded])
    return [folder / name for name in ("raw.parquet", "index.parquet", "faces.parquet", "faces.npy")]


def outputs(folder):
    return [folder / name for name in ("split.parquet", "audit.json", "audit.html", "refused.html")]
