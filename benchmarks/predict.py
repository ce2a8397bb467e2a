"""How many frames a second `fer predict` looks at: 640×480 with one face, by the steps it takes, and whole.

    python benchmarks/predict.py [MODEL]

One thread. Of each step the median wall-clock and processor milliseconds of a frame; of `fer predict` on a video (MP4,
all frames, rows to a CSV file) both, divided by the frames, without the time to load the model. Frames a second are
those of one core that does nothing else: 1000 / milliseconds of processor.
"""

import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

import fer
from fer.datasets import synthetic
from fer.recognition.predict import Options, predict
from fer.recognition.recognizer import find_faces

FRAMES = 60
SMALLEST = 80  # pixels, what `fer predict` takes for videos


def frame(shift: int = 0) -> np.ndarray:
    """Return a drawn face of 192 pixels in a frame of 640×480, uint8 RGB."""
    face = synthetic.render("happiness", subject=1, take=0, size=192).visible[..., ::-1]
    image = np.full((480, 640, 3), 90, np.uint8)
    image[140 : 140 + 192, 220 + shift : 220 + shift + 192] = face
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


def film(path: Path) -> Path:
    """Write a video in which the face moves to and fro."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (640, 480))
    for number in range(FRAMES):
        writer.write(frame(round(100 * np.sin(number / 10)))[..., ::-1])
    writer.release()
    return path


def show(name: str, wall: float, processor: float) -> None:
    print(f"  {name:26} {wall:6.1f} ms, {processor:6.1f} ms of processor, {1000 / processor:5.1f} frames/s", flush=True)


def main() -> None:
    cv2.setNumThreads(1)
    recognizer = fer.load(sys.argv[1] if len(sys.argv) > 1 else "fer2013-fer_baseline", threads=1)
    image = frame()
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    with tempfile.TemporaryDirectory() as folder:
        video = film(Path(folder) / "film.mp4")
        for detector in ("hog", "blazeface"):
            detect = find_faces(detector)
            found = detect(grey, SMALLEST)
            print(f"{detector}, smallest face {SMALLEST} pixels, {len(found)} found")
            show("detect, with landmarks", *milliseconds(lambda detect=detect: detect(grey, SMALLEST)))
            show("recognise", *milliseconds(lambda found=found: recognizer.recognise([image], [found])))
            wall, processor = time.perf_counter(), time.process_time()
            line = predict(recognizer, [video], Path(folder) / "rows.csv", Options(detector=detector))
            spent = [
                1000 * (now - then) / FRAMES
                for now, then in ((time.perf_counter(), wall), (time.process_time(), processor))
            ]
            show("fer predict", *spent)
            print(f"  {line}")


if __name__ == "__main__":
    main()
