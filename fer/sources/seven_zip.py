"""7z archives by py7zr. It pushes every file to a writer; a thread of its own and a short queue turn that around."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from queue import Empty, Queue
from tempfile import SpooledTemporaryFile, TemporaryDirectory
from typing import BinaryIO

import py7zr
from py7zr.exceptions import PasswordRequired
from py7zr.io import Py7zIO, WriterFactory

from fer.errors import FerError
from fer.sources.archives import refuse_unread
from fer.sources.guard import Guard, Reader, damaged, of_the_disk

SPOOL = 16 << 20  # bytes of an unpacked file that stay in memory


def entries(file: BinaryIO, guard: Guard, wanted: Callable[[str], bool]) -> Iterator[tuple[str, BinaryIO | None]]:
    """Yield the files of the 7z archive `file` as `fer.sources.archives` has it, unwanted ones first.

    At most three unpacked files exist at a time, on disk where they are large.
    """
    with _translated(guard.archive):
        archive = py7zr.SevenZipFile(file)
    with archive:
        with _translated(guard.archive):
            if archive.needs_password():
                raise PasswordRequired
            listed = archive.list()
        refuse_unread([entry.filename for entry in listed], guard.archive)
        given_names = {}
        for entry in listed:
            fault = None if entry.is_file or entry.is_directory else "is neither a plain file nor a folder"
            path = guard.admit(entry.filename, entry.is_directory, fault)
            if path and wanted(path):
                given_names[path] = entry.filename
            elif path:
                yield path, None
        if given_names:
            yield from _Extraction(archive, given_names, guard)


@contextmanager
def _translated(archive: str) -> Iterator[None]:
    try:
        yield
    except (FerError, _Abandoned):
        raise
    except PasswordRequired as error:
        raise FerError(f"{archive} is encrypted: unpack it yourself and give the folder") from error
    except Exception as error:  # on a damaged archive py7zr raises whatever its parser runs into
        if of_the_disk(error):
            raise
        raise damaged(archive, error) from error


class _Abandoned(Exception):
    """Nobody asks for more files."""


class _Extraction(WriterFactory):
    """Yields (path, open file) of the entries in `given_names` ({path: name in the archive}) in the archive's order."""

    def __init__(self, archive: py7zr.SevenZipFile, given_names: dict[str, str], guard: Guard):
        self.archive, self.given_names, self.guard = archive, given_names, guard
        self.ready: Queue[tuple[str, BinaryIO] | Exception | None] = Queue(maxsize=1)
        self.abandoned = threading.Event()
        self.writer: _Writer | None = None

    def __iter__(self) -> Iterator[tuple[str, BinaryIO]]:
        thread = threading.Thread(target=self.work, daemon=True)
        thread.start()
        try:
            while item := self.ready.get():
                if isinstance(item, Exception):
                    raise item
                path, file = item
                with file, io.BufferedReader(Reader(file, self.guard.archive, path)) as opened:
                    yield path, opened
        finally:
            self.abandoned.set()
            while thread.is_alive():
                with suppress(Empty):
                    self.ready.get(timeout=0.01)

    def work(self) -> None:
        """Extract everything; runs in the thread."""
        try:
            # py7zr writes nothing there, it checks names against it
            with TemporaryDirectory(prefix="fer-") as self.folder, _translated(self.guard.archive):
                self.archive.extract(self.folder, list(self.given_names.values()), factory=self)
                self.hand_over()
            self.ready.put(None)
        except _Abandoned:
            pass
        except Exception as error:
            self.ready.put(error)

    def create(self, filename: str) -> Py7zIO:
        self.hand_over()  # only now is it sure that the file before was whole
        path = str(PurePosixPath(filename).relative_to(self.folder))
        self.writer = _Writer(path, self)
        return self.writer

    def hand_over(self) -> None:
        if self.writer:
            self.writer.file.seek(0)
            self.ready.put((self.writer.path, self.writer.file))
        if self.abandoned.is_set():
            raise _Abandoned


class _Writer(Py7zIO):
    def __init__(self, path: str, extraction: _Extraction):
        self.path, self.extraction = path, extraction
        self.file = SpooledTemporaryFile(SPOOL)  # noqa: SIM115, whoever reads it closes it

    def write(self, data: bytes | bytearray) -> int:
        if self.extraction.abandoned.is_set():
            raise _Abandoned
        self.extraction.guard.gave(len(data), self.path)
        return self.file.write(data)

    def read(self, size: int | None = None) -> bytes:
        return self.file.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def flush(self) -> None:
        self.file.flush()

    def size(self) -> int:
        return self.file.seek(0, io.SEEK_END)
