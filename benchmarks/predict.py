"""How many frames a second `fer predict` looks at: 640×480 with one face, by the steps it takes.

python benchmarks/predict.py [MODEL]
"""

import sys
import time

import cv2
import numpy as np

import fer
from fer.datasets import synthetic
from fer.recognition.detection import detect

FRAMES = 60


def frame() -> np.ndarray:
    """Return a drawn face of 192 pixels in a frame of 640×480, uint8 RGB."""
    face = synthetic.render("happiness", subject=1, take=0, size=192).visible[..., ::-1]
    image = np.full((480, 640, 3), 90, np.uint8)
    image[140 : 140 + 192, 220 : 220 + 192] = face
    return image


def milliseconds(work) -> tuple[float, float]:
    """Return the wall-clock and processor milliseconds of one call, medians."""
    work()
    times = []
    for _ in range(FRAMES):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - wall, time.process_time() - processor))
    return tuple(1000 * np.median(times, axis=0))


def main() -> None:
    recognizer = fer.load(sys.argv[1] if len(sys.argv) > 1 else "fer2013-fer_baseline")
    image = frame()
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    for smallest in (40, 80):
        found = detect(grey, smallest)
        steps = {
            "detect": lambda smallest=smallest: detect(grey, smallest),
            "recognise": lambda found=found: recognizer.recognise([image], [found]),
            "all": lambda smallest=smallest: recognizer(image, smallest),
        }
        print(f"smallest face {smallest} pixels, {len(found)} found")
        for name, work in steps.items():
            wall, processor = milliseconds(work)
            print(f"  {name:10} {wall:6.1f} ms, {processor:6.1f} ms of processor, {1000 / wall:5.1f} a second")


if __name__ == "__main__":
    main()
