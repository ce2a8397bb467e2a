"""acquire and index over bare reading: what is left of the rate at which an archive can be read and its bytes hashed.

    python benchmarks/acquire.py --images 20000

The images are noisy copies of a synthetic face of 100×100, as JPEG in FER2013's folder form, in a zip (stored, as JPEG
is), in a tar.gz, and not packed. `bare` reads every file of the source by Python's own modules and takes its SHA-256.
Rounds alternate; the ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from fer import params
from fer.datasets import adapter
from fer.datasets.synthetic import render
from fer.layout import Layout
from fer.stages.acquire import acquire
from fer.stages.index import index

SIDE = 100


def images(count: int) -> Iterator[tuple[str, bytes]]:
    face, generator = render("happiness", 0, 0, size=SIDE).visible.astype(int), np.random.default_rng(0)
    for number in range(count):
        noisy = np.clip(face + generator.integers(-6, 7, face.shape), 0, 255).astype(np.uint8)
        yield f"train/happy/Training_{number}.jpg", cv2.imencode(".jpg", noisy)[1].tobytes()


def write_sources(count: int, folder: Path) -> dict[str, Path]:
    """Write the same images three times."""
    loose, zipped, tarred = folder / "loose", folder / "faces.zip", folder / "faces.tar.gz"
    with zipfile.ZipFile(zipped, "w") as archive:
        for name, data in images(count):
            (loose / name).parent.mkdir(parents=True, exist_ok=True)
            (loose / name).write_bytes(data)
            archive.writestr(name, data)
    with tarfile.open(tarred, "w:gz", compresslevel=6) as archive:
        archive.add(loose / "train", "train")
    return {"zip": zipped, "tar.gz": tarred, "folder": loose}


def read_zip(source: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(source) as archive:
        for name in archive.namelist():
            yield archive.read(name)


def read_tar(source: Path) -> Iterator[bytes]:
    with tarfile.open(source) as archive:
        for member in archive:
            if member.isfile():
                yield archive.extractfile(member).read()


def read_folder(source: Path) -> Iterator[bytes]:
    return (path.read_bytes() for path in sorted(source.rglob("*.jpg")))


BARE = {"zip": read_zip, "tar.gz": read_tar, "folder": read_folder}


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    parameters = params.load_dataset("fer2013")
    print("| source | bare, images/s | acquire, images/s | acquire / bare | index, images/s |\n|:--|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as name:
        layout = Layout(Path(name) / "study")
        raw, indexed, counts = layout.raw("fer2013"), layout.index("fer2013"), layout.counts("fer2013")
        for kind, source in write_sources(arguments.images, Path(name)).items():

            def bare(kind: str = kind, source: Path = source) -> None:
                for data in BARE[kind](source):
                    hashlib.sha256(data).hexdigest()

            def ours(source: Path = source) -> None:
                acquire(adapter("fer2013", parameters), str(source), 0, raw)

            rounds = [(seconds(bare), seconds(ours)) for _ in range(arguments.rounds)]
            indexing = seconds(lambda: index(adapter("fer2013", parameters), raw, indexed, counts))
            alone, whole = (arguments.images / statistics.median(column) for column in zip(*rounds, strict=True))
            ratio = statistics.median(first / second for first, second in rounds)
            rate = arguments.images / indexing
            print(f"| {kind} | {alone:,.0f} | {whole:,.0f} | {ratio:.2f} | {rate:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
