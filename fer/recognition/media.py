"""What `fer predict` reads: images, folders, videos and cameras, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fer.errors import FerError
from fer.faces import crops
from fer.sources.guard import is_clutter
from fer.sources.reading import IMAGES, OTHER_IMAGES, image_fault

VIDEO_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"}


@dataclass(frozen=True)
class Frame:
    """One image to look at. `number` and `seconds` are those of a video's frame, None for a photograph."""

    source: str
    image: np.ndarray  # uint8, grey (height, width) or RGB (height, width, 3)
    number: int | None = None
    seconds: float | None = None
    rate: float | None = None  # frames a second that are looked at


def read_image(path: Path) -> np.ndarray:
    """Return a photograph as uint8, grey (height, width) or RGB (height, width, 3), upright and in its full size.

    Raises:
        FerError: the file is missing, empty, damaged or not an image.
    """
    if not path.exists():
        raise FerError(f"{path} does not exist")
    if path.is_dir():
        raise FerError(f"{path} is a folder; expected an image")
    data = path.read_bytes()
    try:
        image = crops.native(data, str(path), largest=None)
    except FerError:
        if fault := image_fault(data):
            raise FerError(f"{path}: {fault}") from None
        raise
    return crops.converted(image, 1 if image.ndim == 2 else 3)


def expand(sources: list[Path]) -> list[Path]:
    """Return the files to read: a folder stands for its images and videos, at any depth, sorted by path.

    Images of a kind that is not read, such as HEIC, are among them, so that they are named; hidden files are not.

    Raises:
        FerError: a source does not exist, or a folder holds neither images nor videos.
    """
    files = []
    for source in sources:
        if not source.exists():
            raise FerError(f"{source} does not exist; expected an image, a video or a folder of them")
        if source.is_dir():
            endings = (*IMAGES, *OTHER_IMAGES, *VIDEO_SUFFIXES)
            inside = (path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())
            found = [source / name for name in inside if name.lower().endswith(endings) and not is_clutter(name)]
            if not found:
                known = ", ".join(sorted((*IMAGES, *VIDEO_SUFFIXES)))
                raise FerError(f"{source} holds no images and no videos (known endings: {known})")
            files += sorted(found)
        else:
            files.append(source)
    return files


def frames(path: Path, every: int = 1) -> Iterator[Frame]:
    """Yield the frames of an image or a video; every n-th frame of a video.

    Raises:
        FerError: the file cannot be read, or the video has no frames.
    """
    if path.suffix.lower() in VIDEO_SUFFIXES:
        yield from video_frames(cv2.VideoCapture(str(path)), str(path), every)
    else:
        yield Frame(str(path), read_image(path))


def camera_frames(number: int, every: int = 1) -> Iterator[Frame]:
    """Yield the frames of a camera until it is unplugged or the caller stops."""
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise FerError(f"camera {number} cannot be opened; is it connected, and not in use by another program?")
    yield from video_frames(capture, f"camera {number}", every)


def video_frames(capture: cv2.VideoCapture, name: str, every: int) -> Iterator[Frame]:
    """Yield every n-th frame of an opened video or camera as RGB, and close it at the end; none at all is an error."""
    rate = capture.get(cv2.CAP_PROP_FPS) or 0.0
    number = 0
    try:
        while capture.grab():  # decodes only the frames that are looked at
            if number % every == 0:
                readable, image = capture.retrieve()
                if readable:
                    seconds = number / rate if rate > 0 else None
                    yield Frame(name, cv2.cvtColor(image, cv2.COLOR_BGR2RGB), number, seconds, rate / every or None)
            number += 1
    finally:
        capture.release()
    if number == 0:
        raise FerError(f"{name} is damaged, or is not a video that OpenCV can read: it has no frames")
