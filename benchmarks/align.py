"""align over bare dlib: how much of the detector's own rate is left with reading, decoding, cropping and writing.

    python benchmarks/align.py --images 12000

The images are 500 synthetic faces over and over. `bare` makes the dlib calls that align makes (detector at each scale
until a face is found, landmarks) on prepared arrays, one process, nothing else. `align` is the stage itself, start-up
of its workers included (a second, mostly the landmark model's 100 MB). Rounds alternate; the ratio is the median of
the rounds' ratios. It means nothing while other work runs beside it.
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
from fer.layout import Layout
from fer.parallel import workers
from fer.stages import acquire, index
from fer.stages.align import align
from fer.storage import write_rows

DISTINCT = 500


def faces(count: int, side: int) -> list:
    names = list(ACTION_UNITS)
    drawn = (render(names[number % 8], number // 8, number, size=2 * side).visible for number in range(count))
    return [
        cv2.resize(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY), (side, side), interpolation=cv2.INTER_AREA) for face in drawn
    ]


def bare(copies: list[list]) -> float:
    """Return images/s of dlib alone on one core; `copies` are the prepared ones of each image."""
    detect, predict = landmarks.detector("hog"), landmarks.predictor()
    started = time.perf_counter()
    for prepared in copies:
        for image in prepared:
            score, box = max(detect(image), default=(-1, None), key=lambda pair: pair[0])
            if score >= 0:
                predict(image, box)
                break
    return len(copies) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=48)
    arguments = parser.parse_args()
    parameters = params.load_dataset("fer2013")
    alignment = parameters.alignment
    images = faces(min(arguments.images, DISTINCT), arguments.side)
    copies = [
        [landmarks.prepare(image, factor, alignment.padding)[0] for factor in alignment.enlarge] for image in images
    ]
    encoded = [cv2.imencode(".png", image)[1].tobytes() for image in images]
    numbers = range(arguments.images)
    originals = (Original(f"{n}.png", encoded[n % len(encoded)]) for n in numbers)
    known = ({"sample": n, "path": f"{n}.png", "label": 0, "modality": "visible"} for n in numbers)
    rounds = []
    with tempfile.TemporaryDirectory() as name:
        layout = Layout(Path(name))
        write_rows(layout.raw("x"), acquire.SCHEMA, map(acquire.raw_row, originals))
        write_rows(layout.index("x"), index.SCHEMA, known)
        outputs = (layout.faces("x"), layout.crops("x"), layout.faces_counts("x"))
        bare(copies[:10])  # loads the models
        for _ in range(arguments.rounds):
            one_core = bare(copies)
            started = time.perf_counter()
            align(layout.raw("x"), layout.index("x"), parameters, *outputs)
            rounds.append((arguments.images / (time.perf_counter() - started), one_core))
    rate, one_core = (statistics.median(values) for values in zip(*rounds, strict=True))
    ratio = statistics.median(own / (workers() * single) for own, single in rounds)
    print(f"align {rate:,.0f}/s | bare dlib {one_core:,.0f}/s on one core | align / ({workers()} × bare) {ratio:.2f}")


if __name__ == "__main__":
    main()
