"""Reading a source as it is: a folder, an archive or a single file, and the archives inside it."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from fer.errors import Faults, FerError
from fer.sources.archives import HEAD, Wanted, is_archive, looks_packed, unpack
from fer.sources.guard import Guard, Reader, is_clutter, kind_fault, name_fault
from fer.sources.unread import note_unread, parts, stand_in

# Endings of what OpenCV decodes, and of images that it does not: these are refused by name, never passed over.
IMAGES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif", ".avif"),
    *(".pgm", ".ppm", ".pbm", ".pnm", ".jp2", ".j2k"),
)
OTHER_IMAGES = (".heic", ".heif", ".jxl", ".psd", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".raw", ".svg", ".eps")

# First bytes of the formats that OpenCV decodes: tells an image from another file without decoding it.
SIGNATURES = (
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*", b"RIFF", b"GIF8"),
    *(b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51"),
)
# The brands of files that begin with a box `ftyp`
AVIF, HEIC = (b"avif", b"avis"), (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def files(source: Path) -> Iterator[tuple[str, BinaryIO]]:
    """Yield (path inside the source, open binary file) for every file, clutter aside.

    An archive inside the source is one component of the path: `VIRI-Angry-Vis.zip/Angry/001.JPG`. Folders are walked
    in sorted order, archives in their own. The file is closed when the next one is requested; its `read()` without a
    size refuses what is larger than any image.

    Raises:
        FerError: the source is missing, or an archive is damaged, encrypted or hostile (see `fer.sources.guard`).
    """
    return _walk(source, lambda path: True)


def names(source: Path) -> list[str]:
    """Return the paths of `files`; tar archives, which have no index, are read to their end for it."""
    return [path for path, _ in _walk(source, is_archive)]


@contextmanager
def opened(source: Path, name: str) -> Iterator[BinaryIO]:
    """Open the one file that `files` calls `name`, unpacking no other where the format has an index.

    For many files of one archive use `files`, which opens it once.
    """
    with closing(_walk(source, lambda path: path == name or name.startswith(f"{path}/"))) as walk:
        for path, handle in walk:
            if path == name:
                yield handle
                return
    raise FerError(f"{source} holds no {name}")


def _walk(source: Path, wanted: Wanted) -> Iterator[tuple[str, BinaryIO | None]]:
    if not source.exists():
        raise FerError(f"the source {source} does not exist")
    faults = Faults()
    if source.is_dir():
        paths = list(_folder(source, faults))
        note_unread(paths, str(source), faults)
    else:
        paths = [""]
        beside = sorted(path.name for path in source.parent.iterdir() if path.is_file())
        together = (found for found in parts(beside).values() if source.name in found)
        note_unread(next(together, [source.name]), str(source.parent), faults)
    faults.check()
    for path in paths:
        yield from _file(source / path, path or ("" if _is_packed(source) else source.name), wanted, faults)
    faults.check()


def _file(place: Path, path: str, wanted: Wanted, faults: Faults) -> Iterator[tuple[str, BinaryIO | None]]:
    """Yield the file at `place`, or what is in it; `path` is what stands before the paths inside.

    Once something is refused, only the names in further archives are read, so that the error holds all of a kind.
    """
    if not _is_packed(place):
        if not wanted(path):
            yield path, None
        elif not faults.found:
            with open(place, "rb") as file, io.BufferedReader(Reader(file, str(place), path), 1 << 16) as handle:
                yield path, handle
    elif not path or wanted(path) or not is_archive(path):  # names looks into what only its bytes call an archive
        prefix = f"{path}/" if path else ""

        def still_wanted(below: str) -> bool:
            return wanted(prefix + below) and (not faults.found or is_archive(below))

        with open(place, "rb") as file:
            for inner, handle in unpack(place.name, file, Guard(str(place), faults), still_wanted):
                if not faults.found:
                    yield prefix + inner, handle


def _is_packed(place: Path) -> bool:
    """Return whether a file is an archive: by its name or, if that says neither image nor text, by its first bytes."""
    if is_archive(place.name):
        return True
    if place.name.lower().endswith((*IMAGES, *OTHER_IMAGES, ".csv", ".txt")):
        return False
    with open(place, "rb") as file:
        return looks_packed(file.read(HEAD))


def _folder(top: Path, faults: Faults, path: str = "", above: tuple[tuple[int, int], ...] = ()) -> Iterator[str]:
    """Yield the paths of a folder's files, clutter aside, sorted by their components.

    The folder is the user's own: links in it are followed, wherever they lead, unless they lead around in a circle.
    """
    here = (top / path).stat()
    if (here.st_dev, here.st_ino) in above:
        faults.add(f"{top}: {path!r}", "a link to a folder that contains it; remove it")
        return
    for entry in sorted(os.scandir(top / path), key=lambda entry: entry.name):
        if is_clutter(entry.name):
            continue
        below = f"{path}/{entry.name}" if path else entry.name
        try:
            mode = entry.stat().st_mode
        except OSError as error:
            faults.add(f"{top}: {below!r}", f"cannot be read ({error.strerror}; is it a broken link?)")
            continue
        if fault := name_fault(entry.name) or kind_fault(mode):
            faults.add(f"{top}: {below!r}", f"{fault}; rename it, remove it, or give another folder")
        elif stat.S_ISDIR(mode):
            yield from _folder(top, faults, below, (*above, (here.st_dev, here.st_ino)))
        else:
            yield below


def is_image_name(name: str) -> bool:
    """Return whether a file's ending is that of an image, of a kind that can be decoded or not."""
    return name.lower().endswith((*IMAGES, *OTHER_IMAGES))


def image_fault(data: bytes) -> str | None:
    """Return why a file cannot be an image that is read, by its first bytes; None if it may be one."""
    if not data:
        return "the file is empty"
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if data.startswith(SIGNATURES) or brand in AVIF:
        return None
    if brand in HEIC:
        return "HEIC is not read: convert it to JPEG or PNG"
    return stand_in(data[:HEAD]) or f"this is not an image that is read (it starts with {data[:8]!r})"
