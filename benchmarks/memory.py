"""Peak memory of acquire, index, align and blocks at two numbers of small images: it must not grow with them.

    python benchmarks/memory.py --images 10000 100000

The images are 24 synthetic faces of 48×48 with noise, in FER2013's CSV form (100,000 take 0.8 GB of disk). Every stage
runs in a process of its own; its memory is the sum of the resident sets of that process and its workers, sampled every
20 ms: an upper bound, since pages they share count several times.
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

from fer.datasets.synthetic import ACTION_UNITS, render

STAGES = {"acquire": ["--source", "{source}"], "index": [], "align": [], "blocks": []}
FACES = 24


def write_source(count: int, target: Path) -> None:
    """Write `count` noisy copies of a few faces as fer2013.csv."""
    names, generator = list(ACTION_UNITS), np.random.default_rng(0)
    drawn = [cv2.cvtColor(render(names[n % 7], n, 0, size=96).visible, cv2.COLOR_BGR2GRAY) for n in range(FACES)]
    faces = [cv2.resize(face, (48, 48), interpolation=cv2.INTER_AREA).astype(int).ravel() for face in drawn]
    with open(target, "w", encoding="utf-8") as table:
        table.write("emotion,pixels,Usage\n")
        for number in range(count):
            noisy = np.clip(faces[number % FACES] + generator.integers(-4, 5, 48 * 48), 0, 255)
            table.write(f"{number % 7},{' '.join(map(str, noisy.tolist()))},Training\n")


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs=2, default=[10_000, 100_000])
    arguments = parser.parse_args()
    peaks: dict[str, list[tuple[float, float]]] = {stage: [] for stage in STAGES}
    for count in arguments.images:
        with tempfile.TemporaryDirectory() as name:
            source = Path(name) / "fer2013.csv"
            write_source(count, source)
            for stage, options in STAGES.items():
                filled = [option.format(source=source) for option in options]
                command = [sys.executable, "-m", "fer.cli", stage, "fer2013", "--root", f"{name}/study", *filled]
                peaks[stage].append(measure(command))
    few, many = arguments.images
    print(f"| stage | MB, {few:,} images | MB, {many:,} images | ratio | s, {few:,} | s, {many:,} |")
    print("| :-- | --: | --: | --: | --: | --: |")
    for stage, ((small, short), (large, long)) in peaks.items():
        print(f"| {stage} | {small:,.0f} | {large:,.0f} | {large / small:.2f} | {short:.1f} | {long:.1f} |")


if __name__ == "__main__":
    main()
