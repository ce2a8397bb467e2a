"""Sources of any dataset in the forms that users have them in, and what the first two stages make of them."""

import io
import json
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from fer import params
from fer.datasets import adapter
from fer.faces import landmarks
from fer.layout import Layout
from fer.stages.acquire import LEFT_OUT, acquire
from fer.stages.index import index

Files = dict[str, bytes]  # path inside the source → content


def image(number: int, ending: str = ".png") -> bytes:
    """Return a tiny image, another one for every number."""
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)
    return cv2.imencode(ending, pixels)[1].tobytes()


def unpacked(folder: Path, files: Files) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def zipped(path: Path, files: Files) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: Files) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


CLUTTER = {"__MACOSX/._a.png": b"x", ".DS_Store": b"x", "deep/Thumbs.db": b"x"}

# How the same files may come: each writes them below a folder and returns the source.
FORMS = {
    "unpacked": lambda folder, files: unpacked(folder / "in", files),
    "at another depth": lambda folder, files: unpacked(folder / "in", {f"a/b c/{n}": d for n, d in files.items()}),
    "upper case": lambda folder, files: unpacked(folder / "in", {name.upper(): data for name, data in files.items()}),
    "with clutter": lambda folder, files: unpacked(folder / "in", files | CLUTTER),
    "zip": lambda folder, files: zipped(folder / "in.zip", files),
    "tar": lambda folder, files: tarred(folder / "in.tar.gz", files),
    "zip in a folder": lambda folder, files: zipped(folder / "in/packed.zip", files).parent,
}


@dataclass
class Taken:
    """What acquire and index made of a source: a row for each original (with its image), and what was left out."""

    rows: pd.DataFrame
    left_out: dict[str, int]
    line: str  # what index says of it

    def seen(self, *columns: str) -> list[tuple]:
        """Return the values of the columns, sorted, one tuple an original, None where a value is missing."""
        table = self.rows[list(columns)].astype(object)
        return sorted(table.where(table.notna(), None).itertuples(index=False, name=None))

    def images(self) -> list[np.ndarray]:
        return [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) for data in self.rows["image"]]


def take(name: str, source: Path | str, root: Path, dataset: params.Dataset | None = None, samples: int = 1) -> Taken:
    """Acquire and index a source, which may hold some of the classes only."""
    dataset = (dataset or params.load_dataset(name)).model_copy(update={"allow_empty_classes": True})
    layout = Layout(root)
    acquire(adapter(name, dataset), str(source), samples, layout.raw(name))
    line = index(adapter(name, dataset), layout.raw(name), layout.index(name), layout.counts(name))
    reasons = json.loads(pq.read_metadata(layout.raw(name)).metadata[LEFT_OUT.encode()])
    rows = pd.read_parquet(layout.index(name)).assign(image=pd.read_parquet(layout.raw(name))["image"])
    return Taken(rows, {reason: found["count"] for reason, found in reasons.items()}, line)


def changed(name: str, **values) -> params.Dataset:
    """Return the dataset's parameters with other values."""
    return params.load_dataset(name).model_copy(update=values)


def share_of_faces_found(taken: Taken, count: int = 40) -> float:
    """Return the share of faces that dlib finds in a sample of the images, as they are."""
    images = taken.images()
    chosen = [images[place] for place in np.linspace(0, len(images) - 1, count).astype(int)]
    grey = [item if item.ndim == 2 else cv2.cvtColor(item[..., :3], cv2.COLOR_BGR2GRAY) for item in chosen]
    return float(np.mean([landmarks.find(item) is not None for item in grey]))
