"""7z archives by py7zr, which unpacks them into a temporary folder: the format has no way to read one file alone."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import py7zr
from py7zr.exceptions import PasswordRequired

from fer.errors import FerError
from fer.sources.guard import SPECIAL, Guard, Reader
from fer.sources.unread import ADVICE, note_unread


def entries(file: BinaryIO, guard: Guard, wanted: Callable[[str], bool]) -> Iterator[tuple[str, BinaryIO | None]]:
    """Yield the files of the 7z archive `file` as `fer.sources.archives` has it, unwanted ones first.

    Those that are wanted are unpacked together, once their names and the sizes that the archive states are admitted
    (py7zr writes no more than these).
    """
    try:
        archive = py7zr.SevenZipFile(file)
        locked = archive.needs_password()
    except PasswordRequired:  # of an archive that hides its names, too
        locked = True
    if locked:
        raise FerError(f"{guard.archive} is encrypted: {ADVICE}")
    with archive, TemporaryDirectory(prefix="fer-") as folder:
        listed = archive.list()
        admitted, given_names = [], {}
        for entry in listed:
            fault = None if entry.is_file or entry.is_directory else SPECIAL
            if path := guard.admit(entry.filename, entry.is_directory, fault):
                admitted.append((path, entry))
        note_unread(list(guard.seen), guard.archive, guard.faults)
        for path, entry in admitted:
            if wanted(path):
                guard.gave(entry.uncompressed, path)
                given_names[path] = entry.filename
            else:
                yield path, None
        if given_names:
            archive.extract(folder, list(given_names.values()))
        for path, given in given_names.items():
            unpacked = Path(folder, given)
            unpacked.chmod(0o600)  # whatever the archive says
            with open(unpacked, "rb") as opened, io.BufferedReader(Reader(opened, guard.archive, path)) as handle:
                yield path, handle
            unpacked.unlink()
