"""What an archive may hold and how much may come out of it: a stranger packed it."""

from __future__ import annotations

import errno
import io
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import PurePosixPath
from typing import BinaryIO

from fer.errors import FerError
from fer.sources.refusals import Refusals, refused

# Far above any real dataset: a million images, or tables of digits, which shrink to a tenth.
TOTAL = 64 << 30  # bytes that may come out of one archive, the archives inside it included
ENTRIES = 5_000_000  # files and folders in it, counted in the same way
RATIO = 200  # bytes that may come out of each byte of it,
FREE = 64 << 20  # once this much has
DEPTH = 4  # archives inside archives
WHOLE = 256 << 20  # bytes of one file that may be read in one piece, as images are

CLUTTER = {"__MACOSX", "Thumbs.db", "desktop.ini", "Icon\r"}
SPECIAL = "is neither a plain file nor a folder"  # devices, named pipes, sockets


class Guard:
    """Watches over one archive, and counts what really comes out of it, whatever its headers say.

    What comes out of an archive inside another counts for both, so no nesting gets around the limits.
    """

    def __init__(self, archive: str, refusals: Refusals, outer: Guard | None = None):
        self.archive, self.refusals, self.outer = archive, refusals, outer
        self.depth = outer.depth + 1 if outer else 1
        self.packed = self.unpacked = self.entries = 0
        self.seen: dict[str, None] = {}  # the paths that were admitted, in their order

    def inside(self, name: str) -> Guard:
        """Return the guard of the archive that is the entry `name` of this one."""
        if self.depth == DEPTH:
            raise self.refusal(name, f"is an archive inside {DEPTH} others")
        return Guard(f"{self.archive}/{name}", self.refusals, self)

    def admit(self, given: str, folder: bool, fault: str | None = None, detail: str = "") -> str | None:
        """Return the path of an entry called `given`; None if it is a folder, clutter, or refused.

        It is refused, which `refusals` notes, where it could do harm or what it is cannot be told.

        Args:
            fault: what is wrong with the entry for a reason that its format knows.
            detail: what it has of this fault alone.
        """
        self.count_entry(given)
        plain = given.replace("\\", "/")
        if is_clutter(plain):
            return None
        parts = plain.split("/")  # pathlib, which does the same, costs half of the time in which a small image is read
        name = "/".join(part for part in parts if part not in ("", "."))
        if ".." in parts:
            fault, detail = "climbs out of the archive", ""
        elif plain.startswith("/") or (plain[:1].isalpha() and plain[1:2] == ":"):
            fault, detail = "has an absolute path", ""
        elif not name and not folder:
            fault, detail = "has no name", ""
        elif name in self.seen:
            fault, detail = "occurs twice", ""
        if fault := fault or text_fault(plain):
            self.refusals.add(self.archive, given, fault, detail)
            return None
        if folder:
            return None
        self.seen[name] = None
        return name

    def count_entry(self, name: str) -> None:
        """Count an entry, also in the archives around this one; too many are an error."""
        self.entries += 1
        if self.entries > ENTRIES:
            raise self.refusal(name, f"is one too many: at most {ENTRIES:,} are allowed")
        if self.outer:
            self.outer.count_entry(name)

    def took(self, count: int, name: str = "") -> None:
        """Count packed bytes that were read from the archive."""
        self.packed += count

    def gave(self, count: int, name: str) -> None:
        """Count bytes that came out of it, of the entry `name`."""
        self.unpacked += count
        if self.unpacked > TOTAL:
            raise self.refusal(name, f"brings what is unpacked to over {TOTAL:,} bytes, the limit")
        if self.unpacked > max(FREE, RATIO * self.packed):
            raise self.refusal(name, f"expands {self.packed:,} bytes to over {self.unpacked:,}, as a bomb does")
        if self.outer:
            self.outer.gave(count, f"{PurePosixPath(self.archive).name}/{name}")

    def refusal(self, name: object, fault: str) -> FerError:
        """Return the error of an entry that ends the reading at once."""
        return FerError(refused(self.archive, fault, "entry", [(repr(name), "")]))


def text_fault(name: str) -> str | None:
    """Return what is wrong with the letters of a name, if anything is."""
    if name.isprintable():
        return None
    if any("\ud800" <= letter <= "\udfff" for letter in name):  # how Python writes bytes that are no UTF-8
        return "has a name that is not valid UTF-8"
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        return "has a control character in its name"
    return None


def kind_fault(mode: int) -> str | None:
    """Return what is wrong with an entry whose Unix mode is `mode` (0 if the archive does not give it)."""
    kind = stat.S_IFMT(mode)
    return "is a link" if kind == stat.S_IFLNK else None if kind in (0, stat.S_IFREG, stat.S_IFDIR) else SPECIAL


def is_clutter(name: str) -> bool:
    """Return whether a file is what systems leave behind: hidden (.DS_Store, ._photo.jpg) or of a few known names."""
    return any(part in CLUTTER or (part[:1] == "." and part not in (".", "..")) for part in name.split("/"))


class Reader(io.RawIOBase):
    """A file that is being read: its bytes are counted, and damage has the archive's name."""

    def __init__(self, file: BinaryIO, archive: str, name: str, count: Callable[[int, str], None] | None = None):
        self.file, self.archive, self.path, self.count = file, archive, name, count

    def readable(self) -> bool:
        """As `io.RawIOBase` asks: it is."""
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
    """Turn what the standard library raises on a damaged archive into a `FerError`."""
    try:
        yield
    except (
        tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, LZMAError, struct.error, ValueError, OSError,
        OverflowError, IndexError,
    ) as error:  # fmt: skip
        if of_the_disk(error):
            raise
        raise damaged(archive, error) from error
    except RuntimeError as error:  # zipfile's way to say that an entry is packed in an unknown way
        raise FerError(f"{archive} cannot be unpacked: {error}") from error


def of_the_disk(error: Exception) -> bool:
    """Return whether an error is the operating system's: not gzip's, bzip2's, or of a seek to an impossible place."""
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def damaged(archive: str, error: Exception) -> FerError:
    """Return the error of an archive that cannot be read to its end, with what to do."""
    fault = error if str(error) else type(error).__name__
    return FerError(f"{archive} is truncated or damaged ({fault}): delete it, download it again and compare its size")
