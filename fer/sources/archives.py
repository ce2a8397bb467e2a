"""What is inside a zip, tar or 7z archive, one file after the other.

Zip and tar are read in place, a 7z archive is unpacked into a temporary folder.

Every format is one generator. It yields (path, open file) for the files that are wanted and (path, None) for the
others, which are then not unpacked where the format has an index (zip, 7z).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import BinaryIO

from fer.sources.guard import SPECIAL, Guard, Reader, damage, kind_fault
from fer.sources.unread import ADVICE, note_unread, stand_in, unread_start

# Read are zip, 7z and tar, a tar also packed by gzip, bzip2 or xz, as is a single file (.csv.gz).
ARCHIVES = (".zip", ".7z", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".gz", ".bz2", ".xz")
PACKED = (b"PK\3\4", b"PK\5\6", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")  # of those that are
TAR_MAGIC, HEAD = 257, 262  # where the word ustar stands, and how many first bytes tell an archive
UNIX = 3  # what a zip entry says of the system it was made on: then its attributes hold a Unix mode
SHORT = (".tgz", ".tbz2", ".txz")
STREAMS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}  # by their first bytes
SPOOL = 16 << 20  # bytes of a temporary file that stay in memory

Entries = Iterator[tuple[str, BinaryIO | None]]
Wanted = Callable[[str], bool]


def is_archive(name: str) -> bool:
    """Return whether a file's ending is that of an archive that can be read."""
    return name.lower().endswith(ARCHIVES)


def looks_packed(start: bytes) -> bool:
    """Return whether the first `HEAD` bytes of a file are those of an archive, of a kind that is read or not."""
    return start.startswith(PACKED) or start[TAR_MAGIC:HEAD] == b"ustar" or unread_start(start) is not None


def unpack(name: str, file: BinaryIO, guard: Guard, wanted: Wanted) -> Entries:
    """Yield the files of the archive `name`, those of archives inside it too, in the archive's order.

    Args:
        file: the archive, read from its start; a zip or 7z that cannot be sought in is copied to a temporary file.
        wanted: says, given a path, whether to open that file or look into that inner archive.
    """
    with damage(guard.archive):
        for path, inner in _entries(name, file, guard, wanted):
            if not is_archive(path):
                yield path, inner
            elif inner:
                deeper = unpack(path, inner, guard.inside(path), lambda below, above=path: wanted(f"{above}/{below}"))
                for below, opened in deeper:
                    yield f"{path}/{below}", opened


def _entries(name: str, file: BinaryIO, guard: Guard, wanted: Wanted) -> Entries:
    if not hasattr(file, "peek"):
        file = io.BufferedReader(file, 1 << 16)
    start = file.peek(HEAD)[:HEAD]
    if what := stand_in(start):
        guard.faults.say(f"{guard.archive} {what}")
        return
    if what := unread_start(start):
        guard.faults.say(f"{guard.archive} is {what}, which cannot be read: {ADVICE}")
        return
    kind = ".zip" if start.startswith(b"PK") else ".7z" if start.startswith(b"7z") else Path(name.lower()).suffix
    if kind in (".zip", ".7z") and not start.startswith((*STREAMS,)) and start[TAR_MAGIC:HEAD] != b"ustar":
        with _seekable(file) as whole:
            guard.took(whole.seek(0, io.SEEK_END))
            whole.seek(0)
            if kind == ".zip":
                yield from _zip(whole, guard, wanted)
            else:
                from fer.sources.seven_zip import entries

                yield from entries(whole, guard, wanted)
    else:
        yield from _tar(name, file, guard, wanted)


@contextmanager
def _seekable(file: BinaryIO) -> Iterator[BinaryIO]:
    """Yield `file` itself if it lies on disk, otherwise a temporary copy."""
    if isinstance(file, io.BufferedReader) and isinstance(file.raw, io.FileIO):
        yield file
    else:
        with SpooledTemporaryFile(SPOOL) as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
            yield copy


def _zip(file: BinaryIO, guard: Guard, wanted: Wanted) -> Entries:
    file.seek(-min(22, guard.packed), io.SEEK_END)
    end = file.read()
    if end.startswith(b"PK\5\6") and end[4:6] not in (b"\0\0", b"\xff\xff"):  # its number, and that of a zip64
        guard.faults.say(f"{guard.archive} is the last part of a split zip archive, which cannot be read: {ADVICE}")
        return
    count = (
        int.from_bytes(end[10:12], "little") if end.startswith(b"PK\5\6") else 0xFFFF
    )  # of a zip64, or one with a tail
    with zipfile.ZipFile(file) as archive:
        if count not in (0xFFFF, len(archive.infolist()) & 0xFFFF):  # which zipfile does not notice
            raise zipfile.BadZipFile(f"{len(archive.infolist())} entries, expected {count}")
        admitted = []
        for entry in archive.infolist():
            given = _zip_name(entry)
            mode = entry.external_attr >> 16 if entry.create_system == UNIX else 0
            fault = "encrypted" if entry.flag_bits & 1 else kind_fault(mode)
            if path := guard.admit(given, given.endswith(("/", "\\")), fault):
                admitted.append((path, entry))
        note_unread(list(guard.seen), guard.archive, guard.faults)
        for path, entry in admitted:
            if wanted(path):
                with archive.open(entry) as packed, _buffered(packed, guard, path, guard.gave) as opened:
                    yield path, opened
            else:
                yield path, None


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """Return the name as it was meant; surrogates stand for bytes that are no UTF-8.

    Without its UTF-8 flag zipfile takes a name for code page 437. What is not ASCII then is UTF-8 from a program that
    forgot the flag (macOS does), or in a code page that cannot be determined.
    """
    given = entry.orig_filename  # filename ends at the first NUL
    return given if entry.flag_bits & 0x800 else given.encode("cp437").decode("utf-8", "surrogateescape")


class _Member(tarfile.TarInfo):
    """A tar header. Where tarfile takes a broken one for the archive's end, this is an error."""

    @classmethod
    def frombuf(cls, buffer: bytes, encoding: str, errors: str) -> tarfile.TarInfo:
        try:
            member = super().frombuf(buffer, encoding, errors)
        except tarfile.EOFHeaderError:  # the regular end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"no header where one was expected: {error}") from error
        if member.size < 0:
            raise tarfile.ReadError(f"a size of {member.size:,} bytes")
        return member


def _tar(name: str, file: BinaryIO, guard: Guard, wanted: Wanted) -> Entries:
    packed = io.BufferedReader(Reader(file, guard.archive, "", guard.took), 1 << 18)
    start = packed.peek(6)
    expand = next((expand for magic, expand in STREAMS.items() if start.startswith(magic)), None)
    stream = Reader(expand(packed) if expand else packed, guard.archive, "", guard.gave)
    single = PurePosixPath(name).stem  # of a file that was packed alone
    if expand and not single.lower().endswith(".tar") and not name.lower().endswith(SHORT):
        stream = io.BufferedReader(stream, 1 << 16)
        if stream.peek(HEAD)[TAR_MAGIC:HEAD] != b"ustar":
            path = guard.admit(single, False)
            if path and wanted(path):
                with _buffered(stream, guard, path) as opened:
                    yield path, opened
            elif path:
                yield path, None
            return
        stream = Reader(stream, guard.archive, "")
    with tarfile.open(
        fileobj=stream, mode="r|", bufsize=1 << 18, tarinfo=_Member, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        while entry := archive.next():
            archive.members.clear()  # tarfile keeps them all
            stream.path = entry.name
            plain = entry.isdir() or (entry.isreg() and not entry.issparse())
            path = guard.admit(entry.name, entry.isdir(), None if plain else SPECIAL)
            if path and wanted(path):
                with _buffered(archive.extractfile(entry), guard, path) as opened:
                    yield path, opened
            elif path:
                yield path, None
        while stream.read(1 << 20):  # to the very end: only there a checksum tells of damage
            pass
        note_unread(list(guard.seen), guard.archive, guard.faults)


def _buffered(
    file: BinaryIO, guard: Guard, path: str, count: Callable[[int, str], None] | None = None
) -> io.BufferedReader:
    return io.BufferedReader(Reader(file, guard.archive, path, count), 1 << 16)
