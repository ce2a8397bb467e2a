"""acquire: from a source to `data/raw/<dataset>.parquet`, every original image as distributed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from fer import sources
from fer.datasets import Adapter, Original
from fer.errors import FerError
from fer.progress import track
from fer.storage import open_parquet, sha256, write_rows

SYNTHETIC = "synthetic"
# Keys of the Parquet file's metadata (JSON): what of the source is not here, and why; whether we drew the faces
LEFT_OUT, DRAWN = "left_out", "synthetic"
SCHEMA = pa.schema(
    [
        ("path", pa.string()),  # inside the source
        ("sha256", pa.string()),  # of the image's bytes
        ("annotation", pa.string()),  # JSON: what the source writes beside the image
        ("image", pa.binary()),  # encoded, as distributed (tables of pixels become lossless PNG)
    ]
)


def acquire(adapter: Adapter, source: str, samples: int, target: Path) -> str:
    """Write the originals of `source` to `target`; return a line for the terminal.

    Args:
        adapter: reads the dataset's official layout.
        source: "synthetic", or what `fer.sources.resolve` understands: a path, a URL, kaggle:… or "download".
        samples: how many faces the synthetic source draws.
    """
    if source != SYNTHETIC:
        return store(adapter, sources.resolve(source, target.stem, adapter.parameters), target)
    folder = target.with_name(f".{target.stem}.synthetic")  # a fixed name: what a killed job left is cleared here
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        return store(adapter, adapter.write_synthetic(samples, folder), target, synthetic=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def store(adapter: Adapter, source: Path, target: Path, synthetic: bool = False) -> str:
    count = write_rows(
        target,
        SCHEMA,
        rows(adapter, source),
        lambda: {LEFT_OUT: json.dumps(summary(adapter)), DRAWN: json.dumps(synthetic)},
    )
    ignored = [
        f"{reason}: {item['count']:,}, such as {item['examples'][0]}" for reason, item in summary(adapter).items()
    ]
    return f"{count:,} originals" + (f"; left out: {'; '.join(ignored)}" if ignored else "")


def says(raw: Path, key: str):
    """Return what a raw file says of itself: LEFT_OUT or DRAWN, None where it says nothing."""
    return json.loads((open_parquet(raw).metadata.metadata or {}).get(key.encode(), b"null"))


def summary(adapter: Adapter) -> dict[str, dict]:
    """Return how many files were left out for each reason, with up to five examples."""
    return {reason: {"count": len(paths), "examples": paths[:5]} for reason, paths in adapter.left_out.items()}


def rows(adapter: Adapter, source: Path) -> Iterator[dict]:
    seen: set[str] = set()
    for original in track(adapter.originals(source), None, "acquire"):
        if original.path in seen:
            raise FerError(f"{source}: {original.path} is there twice")
        seen.add(original.path)
        yield row(original)
    if not seen:
        raise FerError(
            f"{source} holds no image of {adapter.parameters.title}. Expected: {adapter.parameters.obtain}"
            + "".join(f"\n  Left out, {why}: {', '.join(paths[:5])}" for why, paths in adapter.left_out.items())
        )


def row(original: Original) -> dict:
    return {
        "path": original.path,
        "sha256": sha256(original.image),
        "annotation": json.dumps(original.annotation, sort_keys=True),
        "image": original.image,
    }
