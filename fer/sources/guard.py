"""What an archive may hold and how much may come out of it, since a stranger packed it."""

from __future__ import annotations

import errno
import io
import stat
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import BinaryIO

from fer.errors import Faults, FerError

# Far above any real dataset: a million images, or tables of digits, which shrink to a tenth.
TOTAL = 64 << 30  # bytes that may come out of one archive, the archives inside it included
RATIO = 200  # bytes that may come out of each byte of it,
FREE = 64 << 20  # once this much has
DEPTH = 4  # archives inside archives
WHOLE = 256 << 20  # bytes of one file that may be read in one piece, as images are

CLUTTER = {"__MACOSX", "Thumbs.db", "desktop.ini", "Icon\r"}
# What is refused of an archive's entries, or of a folder's files
OUTSIDE = "a name that leads out of the archive"
TWICE = "a name that occurs twice"
SPECIAL = "a link or a device, not a plain file"
BAD_NAME = "a name with control characters, or not in UTF-8"
UNPACK = "if you trust the archive, unpack it yourself and give the folder"


class Guard:
    """Watches over one archive, and counts what really comes out of it, whatever its headers say.

    What comes out of an archive inside another counts for both, so no nesting gets around the limits.

    Args:
        faults: gathers what is not read of the source.
    """

    def __init__(self, archive: str, faults: Faults, outer: Guard | None = None):
        self.archive, self.faults, self.outer = archive, faults, outer
        self.depth = outer.depth + 1 if outer else 1
        self.packed = self.unpacked = 0
        self.seen: dict[str, None] = {}  # the paths that were admitted, in their order

    def inside(self, name: str) -> Guard:
        """Return the guard of the archive that is the entry `name` of this one."""
        if self.depth == DEPTH:
            raise FerError(f"{self.archive}: {name!r} is an archive inside {DEPTH} others; {UNPACK}")
        return Guard(f"{self.archive}/{name}", self.faults, self)

    def admit(self, given: str, folder: bool, fault: str | None = None) -> str | None:
        """Return the path of an entry called `given`; None if it is a folder, clutter, or refused.

        Args:
            fault: what is wrong with the entry for a reason that its format knows.
        """
        plain = given.replace("\\", "/")
        if is_clutter(plain):
            return None
        parts = plain.split("/")  # pathlib, which does the same, costs half of the time in which a small image is read
        name = "/".join(part for part in parts if part not in ("", "."))
        if ".." in parts or plain.startswith("/") or plain[1:2] == ":" or not (name or folder):
            fault = OUTSIDE
        elif name in self.seen:
            fault = TWICE
        if fault := fault or name_fault(plain):
            self.faults.add(f"{self.archive}: {given!r}", f"{fault}; {UNPACK}")
            return None
        if folder:
            return None
        self.seen[name] = None
        return name

    def took(self, count: int, name: str = "") -> None:
        """Count packed bytes that were read from the archive."""
        self.packed += count

    def gave(self, count: int, name: str) -> None:
        """Count bytes that came out of it, of the entry `name`."""
        self.unpacked += count
        if self.unpacked > min(TOTAL, max(FREE, RATIO * self.packed)):
            raise FerError(
                f"{self.archive}: with {name!r}, {self.packed:,} packed bytes have become {self.unpacked:,}, more than "
                f"is read (is it a decompression bomb?); {UNPACK}"
            )
        if self.outer:
            self.outer.gave(count, f"{PurePosixPath(self.archive).name}/{name}")


def name_fault(name: str) -> str | None:
    """Return what is wrong with the letters of a name, if anything is.

    Bytes that are not UTF-8 are surrogates in Python.
    """
    odd = not name.isprintable() and any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)
    return BAD_NAME if odd else None


def kind_fault(mode: int) -> str | None:
    """Return what is wrong with a file whose Unix mode is `mode` (0 if an archive does not give it)."""
    return None if stat.S_IFMT(mode) in (0, stat.S_IFREG, stat.S_IFDIR) else SPECIAL


def is_clutter(name: str) -> bool:
    """Return whether a file is what systems leave behind: hidden (.DS_Store, ._photo.jpg) or of a few known names."""
    return any(part in CLUTTER or (part[:1] == "." and part not in (".", "..")) for part in name.split("/"))


class Reader(io.RawIOBase):
    """A file that is being read: its bytes are counted, and damage has the archive's name."""

    def __init__(self, file: BinaryIO, archive: str, name: str, count: Callable[[int, str], None] | None = None):
        self.file, self.archive, self.path, self.count = file, archive, name, count

    def readable(self) -> bool:
        """Return True, as `io.RawIOBase` requires."""
        return True

    def readinto(self, buffer) -> int:
        """Read into a buffer and count the bytes; return their number."""
        with damage(self.archive):
            data = self.file.read(len(buffer))
        buffer[: len(data)] = data
        if self.count:
            self.count(len(data), self.path)
        return len(data)

    def readall(self) -> bytes:
        """Return the rest of the file.

        Raises:
            FerError: it is larger than any image.
        """
        pieces, size = [], 0
        while piece := self.read(1 << 20):
            pieces.append(piece)
            size += len(piece)
            if size > WHOLE:
                raise FerError(f"{self.archive}: {self.path!r} has over {WHOLE:,} bytes, too many for an image")
        return b"".join(pieces)


@contextmanager
def damage(archive: str) -> Iterator[None]:
    """Turn whatever the parsers run into on a damaged archive into a `FerError`."""
    try:
        yield
    except (FerError, MemoryError):
        raise
    except RuntimeError as error:  # zipfile's way to say that an entry is packed in an unknown way
        raise FerError(f"{archive} cannot be unpacked: {error}") from error
    except Exception as error:
        if of_the_disk(error):
            raise
        fault = error if str(error) else type(error).__name__
        raise FerError(
            f"{archive} is truncated or damaged ({fault}): delete it, download it again and compare its size"
        ) from error


def of_the_disk(error: Exception) -> bool:
    """Return whether an error is the operating system's: not gzip's, bzip2's, or of a seek to an impossible place."""
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
