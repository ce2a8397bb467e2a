"""Reading a source as it is: a folder, a tar or zip archive, or a single file. Nothing is ever unpacked to disk."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from fer.errors import FerError

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
CLUTTER = {"__MACOSX", ".DS_Store", "Thumbs.db"}

# First bytes of the formats that OpenCV decodes: tells an image from another file without decoding it.
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*", b"RIFF")


def files(source: Path) -> Iterator[tuple[str, BinaryIO]]:
    """Yield (path inside the source, open binary file) for every regular file, clutter aside.

    Folders are walked in sorted order, archives in their own. The file is closed when the next one is asked for.

    Raises:
        FerError: the source is missing, truncated or damaged.
    """
    if not source.exists():
        raise FerError(f"the source {source} does not exist")
    try:
        yield from _walk(source)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if getattr(error, "errno", None) is not None:  # of the disk, not of gzip or bzip2
            raise
        raise FerError(f"{source} is truncated or damaged ({error}): download it again and compare its size") from error
    except RuntimeError as error:  # zipfile's way to say that an entry is encrypted or packed in an unknown way
        raise FerError(f"{source} cannot be unpacked: {error}") from error


def _walk(source: Path) -> Iterator[tuple[str, BinaryIO]]:
    if source.is_dir():
        for path in sorted(item for item in source.rglob("*") if item.is_file()):
            name = path.relative_to(source).as_posix()
            if not is_clutter(name):
                with open(path, "rb") as handle:
                    yield name, handle
    elif is_archive(source.name) and source.name.lower().endswith(".zip"):
        with zipfile.ZipFile(source) as archive:
            for entry in archive.infolist():
                if not entry.is_dir() and not is_clutter(entry.filename):
                    with archive.open(entry) as handle:
                        yield entry.filename, handle
    elif is_archive(source.name):
        with tarfile.open(source, "r:*") as archive:
            for entry in archive:
                if entry.isfile() and not is_clutter(entry.name):
                    yield entry.name, archive.extractfile(entry)
            while archive.fileobj.read(1 << 20):  # to the very end: only there a checksum tells of damage
                pass
    else:
        with open(source, "rb") as handle:
            yield source.name, handle


def names(source: Path) -> list[str]:
    return [name for name, _ in files(source)]


@contextmanager
def opened(source: Path, name: str) -> Iterator[BinaryIO]:
    """Open the one file of `source` called `name`."""
    walk = files(source)
    try:
        yield next(handle for found, handle in walk if found == name)
    finally:
        walk.close()


def is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def is_clutter(name: str) -> bool:
    return any(part in CLUTTER or part.startswith("._") for part in PurePosixPath(name).parts)


def is_image_name(name: str) -> bool:
    return name.lower().endswith(IMAGES)


def require_image(name: str, data: bytes) -> bytes:
    """Return `data` if it starts like an image; whether it is whole shows when align decodes it."""
    if not data.startswith(SIGNATURES):
        raise FerError(f"{name} is not an image: {'it is empty' if not data else f'it starts with {data[:8]!r}'}")
    return data
