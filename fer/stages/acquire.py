"""acquire: from a source to `data/raw/<dataset>.parquet`, every original image as distributed."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
from PIL import Image

from fer import sources
from fer.datasets import Adapter, Faults, Original
from fer.errors import FerError
from fer.faces import crops
from fer.progress import track
from fer.stages.originals import DRAWN, LEFT_OUT
from fer.storage import batched, naming, sha256, write_rows
from fer.wording import counted

SYNTHETIC = "synthetic"
DECODED_AT_ONCE = 2  # originals; each may be of 134 megapixels
SEVERAL_IMAGES = (b"GIF8", b"RIFF", b"II*", b"MM\x00*", b"\x89PNG")  # first bytes of formats that can hold them
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
        with naming(folder):
            drawn = adapter.write_synthetic(samples, folder)
        return store(adapter, drawn, target, synthetic=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def store(adapter: Adapter, source: Path, target: Path, synthetic: bool = False) -> str:
    """Write every original of a source to `target`; return a line for the terminal."""
    count = write_rows(
        target,
        SCHEMA,
        rows(adapter, source),
        lambda: {LEFT_OUT: json.dumps(summary(adapter)), DRAWN: json.dumps(synthetic)},
    )
    notes = [f"left out: {reasons_in_words(adapter.left_out)}"] if adapter.left_out else []
    notes += [reasons_in_words(adapter.remarks)] if adapter.remarks else []
    return "; ".join([counted(count, "original"), *notes])


def reasons_in_words(found: dict[str, list[str]]) -> str:
    """Return in words how many files there are for each reason, with an example."""
    return "; ".join(f"{reason}: {len(paths):,}, such as {paths[0]}" for reason, paths in found.items())


def summary(adapter: Adapter) -> dict[str, dict]:
    """Return how many files were left out for each reason, with up to five examples."""
    return {reason: {"count": len(paths), "examples": paths[:5]} for reason, paths in adapter.left_out.items()}


def rows(adapter: Adapter, source: Path) -> Iterator[dict]:
    """Yield a row for each original; a source with unreadable images, or without any, is an error."""
    seen: set[str] = set()
    faults = Faults()
    for original in track(decodable(adapter, source, faults), None, "acquire"):
        if original.path in seen:
            raise FerError(f"{source}: {original.path} occurs twice")
        seen.add(original.path)
        yield raw_row(original)
    if faults.found:
        try:
            faults.check()
        except FerError as error:
            raise FerError(
                f"{source} holds image files that cannot be read.\n{error}\nConvert or remove them, or set "
                "`unreadable: leave_out` in the dataset's parameters to continue without them."
            ) from None
    if not seen:
        raise FerError(
            f"{source} holds no image of {adapter.parameters.title}. Expected: {adapter.parameters.obtain}"
            + "".join(f"\n  Left out, {why}: {', '.join(paths[:5])}" for why, paths in adapter.left_out.items())
        )


def decodable(adapter: Adapter, source: Path, faults: Faults) -> Iterator[Original]:
    """Yield the originals that stage align will decode; the others are left out or gathered among the faults."""
    with ThreadPoolExecutor(DECODED_AT_ONCE) as pool:
        for originals in batched(adapter.originals(source), 2 * DECODED_AT_ONCE):
            for original, fault in zip(originals, pool.map(image_fault, originals), strict=True):
                if fault is None:
                    if several_images(original.image):
                        adapter.remark(
                            original.path, "only the first image of an animation or of several pages is used"
                        )
                    yield original
                elif adapter.parameters.unreadable == "leave_out":
                    adapter.leave_out(original.path, fault)
                else:
                    faults.add(original.path, fault)


def image_fault(original: Original) -> str | None:
    """Return why an original cannot be decoded, None if it can."""
    if fault := sources.image_fault(original.image):
        return fault
    try:
        crops.native(original.image, "")
    except FerError as error:
        return str(error).strip()
    return None


def several_images(data: bytes) -> bool:
    """Return whether an image file is an animation or has several pages."""
    if not data.startswith(SEVERAL_IMAGES) or (data.startswith(b"\x89PNG") and b"acTL" not in data[:1024]):
        return False
    try:
        with Image.open(io.BytesIO(data)) as image:
            return getattr(image, "n_frames", 1) > 1
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # OpenCV has decoded it
        return False


def raw_row(original: Original) -> dict:
    """Return an original as a row of raw."""
    return {
        "path": original.path,
        "sha256": sha256(original.image),
        "annotation": json.dumps(original.annotation, sort_keys=True),
        "image": original.image,
    }
