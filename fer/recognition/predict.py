"""predict: what a trained network says about the faces in images, videos and camera frames, one row per face."""

from __future__ import annotations

import csv
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
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
from fer.storage import atomic, write_bytes
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

    A file that cannot be read is named in a warning, and the others are processed. Ctrl-C stops a camera.

    Args:
        output: `.csv` or `.jsonl`, written whole or not at all; None: CSV to the standard output, as faces are found.

    Raises:
        FerError: nothing could be read at all, or `output` has another ending.
    """
    files = media.expand(sources)
    counts: Counter[str] = Counter()
    with open_rows(output, recognizer.classes) as write:
        if camera is not None:
            with suppress(KeyboardInterrupt):
                look(recognizer, media.camera_frames(camera, options.every), f"camera-{camera}", options, write, counts)
        for path in track(files, len(files), "predict"):
            look(recognizer, readable(media.frames(path, options.every), counts), path.name, options, write, counts)
        if not counts["pictures"]:
            raise FerError("nothing could be read: no row was written")
    return summary(counts, detector_name(options.detector))


def readable(frames: Iterable[Frame], counts: Counter) -> Iterator[Frame]:
    """Yield the frames of a file; if it cannot be read, say so and end. Output that cannot be written is an error."""
    try:
        yield from frames
    except (FerError, OSError) as error:
        logger.warning("%s", error)
        counts["unreadable"] += 1


def look(
    recognizer: Recognizer, frames: Iterable[Frame], name: str, options: Options, write: RowWriter, counts: Counter
) -> None:
    """Write the rows of one source and, if requested, its pictures with the faces marked."""
    tracker = Tracker(options.smoothing)
    with Gallery(options.drawn, name) as gallery:
        for frame in frames:
            counts["pictures"] += 1
            moving = frame.number is not None
            smallest = options.smallest or (2 * SMALLEST if moving else SMALLEST)
            found = recognizer(frame.image, smallest, options.detector)
            numbered = tracker.follow(found) if moving else list(enumerate(found))
            write.write_faces(frame, numbered)
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

    def write_faces(self, frame: Frame, faces: list[tuple[int, Face]]) -> None:
        """Write the faces of a frame at once, so that an interruption leaves all of them or none."""
        rows = [self.row(frame, number, face) for number, face in faces]
        if self.csv:
            self.csv.writerows(rows if self.begun else [self.columns, *rows])
            self.begun = True
        else:
            values = [dict(zip(self.columns, row, strict=True)) for row in rows]
            self.handle.write("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values))

    def row(self, frame: Frame, number: int, face: Face) -> list:
        """Return frame, number (the person's, in a video), box in pixels, label and probabilities of one face."""
        box = [round(float(value), 1) for value in face.box]
        seconds = None if frame.seconds is None else round(frame.seconds, 3)
        scores = [round(value, 6) for value in face.probabilities.values()]
        detected = round(face.detection_score, 3)
        return [frame.source, frame.number, seconds, number, *box, detected, face.label, *scores]


@contextmanager
def open_rows(output: Path | None, classes: tuple[str, ...]) -> Iterator[RowWriter]:
    """Yield a writer of rows to a .csv or .jsonl file, whole or absent; without one, as CSV to the terminal."""
    if output is None:
        yield RowWriter(sys.stdout, classes, ".csv")
        return
    form = output.suffix.lower()
    if form not in (".csv", ".jsonl"):
        raise FerError(f"--output {output}: expected a name that ends in .csv or .jsonl")
    with atomic(output) as scratch, open(scratch, "w", encoding="utf-8", newline="") as handle:
        yield RowWriter(handle, classes, form)


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
            write_bytes(self.free_name(".png"), cv2.imencode(".png", picture)[1].tobytes())
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
