"""predict: what a trained network says of the faces in images, videos and a camera's picture, one row a face."""

from __future__ import annotations

import csv
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import cv2

from fer.errors import FerError
from fer.progress import track
from fer.recognition import media
from fer.recognition.detection import SMALLEST
from fer.recognition.drawing import draw_faces
from fer.recognition.media import VIDEO_SUFFIXES, Frame
from fer.recognition.recognizer import Face, Recognizer, detector_name
from fer.recognition.tracking import Tracker
from fer.wording import counted

logger = logging.getLogger("fer")
COLUMNS = ("source", "frame", "seconds", "face", "left", "top", "right", "bottom", "detection_score", "label")


@dataclass(frozen=True)
class Options:
    """How to look: `every` n-th frame of a video; `smallest` face in pixels (None: `SMALLEST`, in a video twice that,
    which is four times as fast); `smoothing` of a video's probabilities in [0, 1); `drawn`: folder for pictures and
    videos with what was found, or None; `detector`: blazeface, hog, or None (see `Recognizer`).
    """

    every: int = 1
    smallest: int | None = None
    smoothing: float = 0.0
    drawn: Path | None = None
    detector: str | None = None


def predict(
    recognizer: Recognizer, sources: list[Path], output: Path | None, options: Options, camera: int | None = None
) -> str:
    """Write a row for each face; return a line for the terminal.

    A file that cannot be read is named in a warning, and the others are done.

    Args:
        output: `.csv` or `.jsonl`; None: CSV to the standard output.

    Raises:
        FerError: nothing could be read at all, or `output` has another ending.
    """
    files = media.expand(sources)
    counts: Counter[str] = Counter()
    with open_rows(output, recognizer.classes) as write:
        if camera is not None:
            look(recognizer, media.camera_frames(camera, options.every), f"camera-{camera}", options, write, counts)
        for path in track(files, len(files), "predict"):
            try:
                look(recognizer, media.frames(path, options.every), path.name, options, write, counts)
            except (FerError, OSError) as error:
                logger.warning("%s", error)
                counts["unreadable"] += 1
    if not counts["pictures"]:
        raise FerError("nothing could be read: no row was written")
    return summary(counts, detector_name(options.detector))


def look(
    recognizer: Recognizer, frames: Iterable[Frame], name: str, options: Options, write: RowWriter, counts: Counter
) -> None:
    """Write the rows of one source, and what was found on its pictures where that is asked for."""
    tracker = Tracker(options.smoothing)
    with Gallery(options.drawn, name) as gallery:
        for frame in frames:
            write.begin()
            counts["pictures"] += 1
            moving = frame.number is not None
            smallest = options.smallest or (2 * SMALLEST if moving else SMALLEST)
            found = recognizer(frame.image, smallest, options.detector)
            numbered = tracker.follow(found) if moving else list(enumerate(found))
            for number, face in numbered:
                write.write_face(frame, number, face)
            counts["faces"] += len(found)
            counts["without a face"] += not found
            gallery.add(frame, [(number if moving else None, face) for number, face in numbered])


def summary(counts: Counter, detector: str) -> str:
    """Return in words how many pictures were read, how many faces were found by what, and what could not be read."""
    line = f"{counted(counts['pictures'], 'picture')}, {counted(counts['faces'], 'face')} (by {detector})"
    if counts["without a face"]:
        line += f", {counts['without a face']:,} without a face"
    if counts["unreadable"]:
        line += f", {counted(counts['unreadable'], 'file')} unreadable"
    return line


class RowWriter:
    """Writes a row for each face as CSV, or as JSON lines."""

    def __init__(self, handle: TextIO, classes: tuple[str, ...], form: str):
        self.columns = [*COLUMNS, *(f"p_{name}" for name in classes)]
        self.handle, self.csv = handle, csv.writer(handle, lineterminator="\n") if form == ".csv" else None
        self.begun = False

    def begin(self) -> None:
        """Empty the file of what an earlier call wrote, and write the header, at the first picture that is read."""
        if self.begun:
            return
        self.begun = True
        if self.handle is not sys.stdout:
            self.handle.truncate(0)
        if self.csv:
            self.csv.writerow(self.columns)

    def write_face(self, frame: Frame, number: int, face: Face) -> None:
        """Write one face: its frame, its number (the person's, in a video), box in pixels, label and probabilities."""
        box = [round(float(value), 1) for value in face.box]
        seconds = None if frame.seconds is None else round(frame.seconds, 3)
        scores = [round(value, 6) for value in face.probabilities.values()]
        detected = round(face.detection_score, 3)
        values = [frame.source, frame.number, seconds, number, *box, detected, face.label, *scores]
        if self.csv:
            self.csv.writerow(values)
        else:
            self.handle.write(json.dumps(dict(zip(self.columns, values, strict=True)), ensure_ascii=False) + "\n")


@contextmanager
def open_rows(output: Path | None, classes: tuple[str, ...]) -> Iterator[RowWriter]:
    """Yield a writer of rows to a .csv or .jsonl file; without one, as CSV to the terminal."""
    if output is None:
        yield RowWriter(sys.stdout, classes, ".csv")
        return
    form = output.suffix.lower()
    if form not in (".csv", ".jsonl"):
        raise FerError(f"--output {output}: expected a name that ends in .csv or .jsonl")
    output.parent.mkdir(parents=True, exist_ok=True)
    new = not output.exists()
    with open(output, "a", encoding="utf-8", newline="") as handle:
        writer = RowWriter(handle, classes, form)
        try:
            yield writer
        finally:
            if new and not writer.begun:
                output.unlink()


class Gallery:
    """Pictures with what was found: a PNG for a photograph, an MP4 for a video; nothing without a folder."""

    def __init__(self, folder: Path | None, name: str):
        self.folder, self.name, self.video = folder, name, None

    def add(self, frame: Frame, faces: list[tuple[int | None, Face]]) -> None:
        """Draw the faces into a frame and keep it: as the next frame of the video, or as a picture of its own."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        picture = cv2.cvtColor(draw_faces(frame.image, faces), cv2.COLOR_RGB2BGR)
        if frame.number is None:
            self.free_name(".png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
            return
        if self.video is None:
            size = picture.shape[1::-1]
            path = self.free_name(".mp4")
            self.video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), frame.rate or 25, size)
            if not self.video.isOpened():
                raise FerError(f"{path} cannot be written: OpenCV has no encoder for MP4 here")
        self.video.write(picture)

    def free_name(self, suffix: str) -> Path:
        """Return a name after that of the source that no other source of this or an earlier call has taken."""
        stem = Path(self.name).stem if Path(self.name).suffix.lower() in VIDEO_SUFFIXES else self.name
        candidates = [f"{stem}{suffix}", *(f"{stem}-{number}{suffix}" for number in range(2, 100_000))]
        return next(self.folder / name for name in candidates if not (self.folder / name).exists())

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *error) -> None:
        if self.video is not None:
            self.video.release()
