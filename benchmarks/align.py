"""align over bare dlib: how much of the detector's own rate is left with reading, decoding, cropping and writing.

    python benchmarks/align.py --images 3000

`bare` calls dlib's detector and landmark predictor on prepared arrays, one process, nothing else. `align` is the stage
itself, start-up of its workers included. Rounds alternate; the ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2

from fer import params
from fer.datasets import Original
from fer.datasets.synthetic import ACTION_UNITS, render
from fer.faces import landmarks
from fer.parallel import workers
from fer.stages.acquire import SCHEMA, row
from fer.stages.align import align
from fer.storage import write_rows


def faces(count: int, side: int) -> list:
    names = list(ACTION_UNITS)
    drawn = (render(names[number % 8], number // 8, number, size=2 * side).visible for number in range(count))
    return [
        cv2.resize(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY), (side, side), interpolation=cv2.INTER_AREA) for face in drawn
    ]


def bare(prepared: list) -> float:
    """Return images/s of dlib alone on one core."""
    detector, predictor = landmarks.models()
    started = time.perf_counter()
    for image in prepared:
        boxes, scores, _ = detector.run(image, 0)
        if boxes:
            predictor(image, boxes[max(range(len(boxes)), key=scores.__getitem__)])
    return len(prepared) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=48)
    arguments = parser.parse_args()
    parameters = params.load_dataset("fer2013").alignment
    images = faces(arguments.images, arguments.side)
    prepared = [landmarks.prepare(image, parameters.enlarge, parameters.padding)[0] for image in images[:300]]
    originals = (Original(f"{n}.png", cv2.imencode(".png", image)[1].tobytes()) for n, image in enumerate(images))
    rounds = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "raw.parquet", SCHEMA, map(row, originals))
        for _ in range(arguments.rounds):
            one_core = bare(prepared)
            started = time.perf_counter()
            align(folder / "raw.parquet", parameters, folder / "faces.parquet", folder / "crops.npy")
            rounds.append((arguments.images / (time.perf_counter() - started), one_core))
    rate, one_core = (statistics.median(values) for values in zip(*rounds, strict=True))
    ratio = statistics.median(own / (workers() * single) for own, single in rounds)
    print(f"align {rate:,.0f}/s | bare dlib {one_core:,.0f}/s on one core | align / ({workers()} × bare) {ratio:.2f}")


if __name__ == "__main__":
    main()
