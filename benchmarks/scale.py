"""What the stages of the data cost as a dataset grows: seconds, and peak memory, which must not grow with it.

    python benchmarks/scale.py --images 10000 100000 1000000 --align-most 100000

The images are 24 synthetic faces of 48×48 with noise, in FER2013's CSV form (a million take 8 GB of disk, twice). Every
stage runs in a process of its own; its memory is the sum of the resident sets of that process and its workers, sampled
every 20 ms: an upper bound, since pages they share count several times.

align takes hours of a million and is left out beyond `--align-most`. blocks and split read a stand-in for what it
makes: one face's landmarks, every image with fingerprints of its own. (By the true ones noisy copies are duplicates.)
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from fer.datasets.synthetic import ACTION_UNITS, render
from fer.layout import Layout
from fer.stages.align import SCHEMA

STAGES = {
    "acquire": "fer2013 --source {source}",
    "index": "fer2013",
    "align": "fer2013",
    "blocks": "fer2013",
    "split": "fer2013 official",
}
FACES, NOISES, SIDE = 24, 16, 48
CHUNK = 10_000  # rows of the stand-in that are made at once


def write_source(count: int, target: Path) -> None:
    """Write `count` images as fer2013.csv: each a few faces' one, every row of it with one of a few noises."""
    names, generator = list(ACTION_UNITS), np.random.default_rng(0)
    drawn = [cv2.cvtColor(render(names[n % 7], n, 0, size=2 * SIDE).visible, cv2.COLOR_BGR2GRAY) for n in range(FACES)]
    faces = np.stack([cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for face in drawn]).astype(int)
    noisy = np.clip(faces[:, None] + generator.integers(-4, 5, (FACES, NOISES, SIDE, SIDE)), 0, 255)
    rows = [[[" ".join(map(str, row)) for row in image] for image in copies] for copies in noisy.tolist()]
    with open(target, "w", encoding="utf-8") as table:
        table.write("emotion,pixels,Usage\n")
        for number in range(count):
            face, chosen = rows[number % FACES], generator.integers(NOISES, size=SIDE)
            pixels = " ".join(face[noise][row] for row, noise in enumerate(chosen))
            table.write(f"{number % 7},{pixels},{('Training', 'PublicTest', 'PrivateTest')[max(0, number % 10 - 7)]}\n")


def write_faces(count: int, layout: Layout) -> None:
    """Write a stand-in for what align makes of `count` images, the crops as a file with a hole."""
    generator = np.random.default_rng(0)
    face = render("neutral", 0, 0, size=SIDE).landmarks.ravel()
    layout.faces("fer2013").parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(layout.faces("fer2013"), SCHEMA) as writer:
        for first in range(0, count, CHUNK):
            size = min(CHUNK, count - first)
            landmarks = pa.ListArray.from_arrays(np.arange(size + 1) * len(face), np.tile(face, size))
            columns = {
                "sample": np.arange(first, first + size),
                "detected": np.ones(size, bool),
                "used": np.ones(size, bool),
                "blank": np.zeros(size, bool),
                "height": np.full(size, SIDE),
                "width": np.full(size, SIDE),
                "landmarks": landmarks,
                "landmarks_from": ["own"] * size,
                "score": np.ones(size),
                "pixels": [f"{number:064x}" for number in range(first, first + size)],
                "phash": generator.integers(2**64, size=size, dtype=np.uint64),
            }
            arrays = [pa.array(column).cast(SCHEMA.field(name).type) for name, column in columns.items()]
            writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA))
    np.lib.format.open_memmap(layout.crops("fer2013"), "w+", np.uint8, (count, SIDE, SIDE))


def resident(process: psutil.Process) -> int:
    """Return the bytes resident in a process and all below it; those that end meanwhile count nothing."""
    total = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def measure(command: list[str]) -> tuple[float, float]:
    """Run a command; return its peak memory in MB and its seconds."""
    started, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        process = psutil.Process(running.pid)
        while running.poll() is None:
            peak = max(peak, resident(process))
            time.sleep(0.02)
    if running.returncode:
        raise SystemExit(f"{' '.join(command)} failed with status {running.returncode}")
    return peak / 1e6, time.perf_counter() - started


def measure_all(count: int, align_most: int) -> dict[str, tuple[float, float]]:
    """Return megabytes and seconds of each stage that is run on `count` images."""
    measured = {}
    with tempfile.TemporaryDirectory() as name:
        layout, source = Layout(Path(name) / "study"), Path(name) / "fer2013.csv"
        write_source(count, source)
        for stage, arguments in STAGES.items():
            if stage == "blocks":
                write_faces(count, layout)
            if stage != "align" or count <= align_most:
                words = arguments.format(source=source).split()
                command = [sys.executable, "-m", "fer", stage, *words, "--root", str(layout.root)]
                measured[stage] = measure(command)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--align-most", type=int, default=100_000, help="images up to which align is run")
    arguments = parser.parse_args()
    print(f"| images | {' | '.join(f'{stage}, MB | s' for stage in STAGES)} |\n|--:|{'--:|--:|' * len(STAGES)}")
    for count in arguments.images:
        measured = measure_all(count, arguments.align_most)
        cells = (
            f"{measured[stage][0]:,.0f} | {measured[stage][1]:.1f}" if stage in measured else "– | –"
            for stage in STAGES
        )
        print(f"| {count:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
