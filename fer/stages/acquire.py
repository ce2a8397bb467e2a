"""acquire: from a source to `data/raw/<dataset>.parquet`, every original image as distributed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from fer.datasets import Adapter, Original
from fer.errors import FerError
from fer.progress import track
from fer.storage import sha256, write_rows

SYNTHETIC = "synthetic"
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
        source: "synthetic", or the path of an archive, a file or a folder.
        samples: how many faces the synthetic source draws.
    """
    if source != SYNTHETIC:
        return store(adapter, Path(source).expanduser(), target)
    folder = target.with_name(f".{target.stem}.synthetic")  # a fixed name: what a killed job left is cleared here
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        return store(adapter, adapter.write_synthetic(samples, folder), target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def store(adapter: Adapter, source: Path, target: Path) -> str:
    if not source.exists():
        raise FerError(
            f"the source {source} does not exist.\n  Where to get it: {adapter.parameters.obtain}\n"
            "  Then name its place as `source` in the study file or with --source, or use --source synthetic."
        )
    count = write_rows(target, SCHEMA, rows(adapter, source))
    ignored = (
        f"; {len(adapter.left_out)} other files left out, such as {adapter.left_out[0]}" if adapter.left_out else ""
    )
    return f"{count:,} originals{ignored}"


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
            + (f"\n  Found instead: {', '.join(adapter.left_out[:5])}" if adapter.left_out else "")
        )


def row(original: Original) -> dict:
    return {
        "path": original.path,
        "sha256": sha256(original.image),
        "annotation": json.dumps(original.annotation, sort_keys=True),
        "image": original.image,
    }
