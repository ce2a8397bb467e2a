"""Downloads over HTTP that go on where they stopped.

While `<file>` is under way it lies beside its later place as `.<file>.part`; the name is given to whole files alone.
`.<file>.json` says where it is from, and what tells its version on the server.
"""

from __future__ import annotations

import logging
import os
import struct
import time
import zipfile
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import requests
import urllib3

from fer.errors import FerError
from fer.params import Dataset, Download
from fer.progress import transfer
from fer.sources.guard import is_clutter
from fer.storage import FULL, file_sha256, read_json, write_json
from fer.wording import counted, examples

logger = logging.getLogger("fer")
TRIES = 6  # in a row that bring nothing new
BACKOFF = 1.0  # seconds before the second try, doubled for each one after it
LONGEST_WAIT = 120.0  # seconds, whatever a server asks for
TIMEOUT = (30, 60)  # seconds to connect, and without a byte
PIECE = 1 << 18  # bytes written at a time
PROGRESS = 1 << 20  # new bytes that make up for a failed try
PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses that may be another time

# First bytes of archives by the ending of their names.
MAGIC = {
    ".zip": (b"PK\3\4", b"PK\5\6"),
    ".7z": (b"7z\xbc\xaf\x27\x1c",),
    ".gz": (b"\x1f\x8b",),
    ".tgz": (b"\x1f\x8b",),
    ".bz2": (b"BZh",),
    ".xz": (b"\xfd7zXZ\x00",),
}


def download_all(parameters: Dataset, folder: Path) -> Path:
    """Fetch every file of `parameters.downloads` into `folder`; return it.

    Raises:
        FerError: there are none, one fails, or the folder holds others, which would be read as part of the dataset.
    """
    wanted: dict[str, Download] = {}
    for item in parameters.downloads:
        name = file_name(item.url)
        if name in wanted:
            raise FerError(f"{wanted[name].url} and {item.url} are both called {name}; add #OTHER-NAME to one of them")
        wanted[name] = item
    if not wanted:
        raise FerError(f"{parameters.title} has no `downloads` in its parameters. Where to get it: {parameters.obtain}")
    strangers = sorted({path.name for path in folder.glob("*") if not is_clutter(path.name)} - wanted.keys())
    if strangers:
        raise FerError(f"{folder} holds {', '.join(strangers)}, which `downloads` does not name: move it elsewhere")
    for item in wanted.values():
        download(item.url, folder, item.sha256)
    if unpinned := [name for name, item in wanted.items() if not item.sha256]:
        logger.warning(
            "unpinned: no sha256 is known of %s (%s), so another file under its address would not be noticed",
            counted(len(unpinned), "download"),
            examples(unpinned),
        )
    return folder


def download(url: str, folder: Path, sha256: str | None = None) -> Path:
    """Return the file at `url`, fetched into `folder` unless it is there already.

    Dropped connections and servers that are busy are tried again; what has arrived is kept for the next call.

    Args:
        url: its last component, or what follows "#", becomes the file's name.
        sha256: of the whole file; without it a file that is there is the right one unless it is noted to be from
            elsewhere.

    Raises:
        FerError: the server refuses, keeps failing, or what it sends is not the file.
    """
    part = Part(folder, file_name(url), url, sha256)
    target = folder / part.name
    if target.exists():
        same = file_sha256(target) == sha256 if sha256 else part.noted().get("url", url) == url
        if same:
            return target
        target.unlink()
    fetch(part)
    found = file_sha256(part.path) if sha256 else None
    if found != sha256:
        part.discard()
        raise FerError(
            f"{url} is not the file that is expected: its sha256 is {found}, expected {sha256}. "
            "Was it replaced by another version?"
        )
    return part.finish()


def file_name(url: str) -> str:
    """Return the name of the file that `url` leads to."""
    parts = urlsplit(url)
    name = unquote(parts.fragment or PurePosixPath(parts.path).name)
    if (
        not name.strip(".")
        or name.startswith(".")
        or not PurePosixPath(name).suffix
        or any(letter in "/\\" or not letter.isprintable() for letter in name)
    ):
        raise FerError(
            f"{url} does not tell the file's name; add it after a #, such as {url.partition('#')[0]}#images.zip"
        )
    return name


class Broken(Exception):
    """This try failed and another may not; `wait` is how many seconds the server asks for."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


@dataclass
class Part:
    """A file under way."""

    folder: Path
    name: str  # that it is to have
    url: str
    sha256: str | None

    @property
    def path(self) -> Path:
        return self.folder / f".{self.name}.part"

    @property
    def note(self) -> Path:
        return self.folder / f".{self.name}.json"

    def noted(self) -> dict[str, str | None]:
        return read_json(self.note) if self.note.exists() else {}

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def version(self) -> str | None:
        """What the server called this version: its ETag or date."""
        noted = self.noted()
        return noted.get("version") if noted.get("url") == self.url else None

    @property
    def resumable(self) -> bool:
        """Whether something will tell that the rest is of the same file: its version, or the hash of the whole."""
        return self.size > 0 and bool(self.version or self.sha256)

    def start(self, version: str | None) -> None:
        """Begin anew, with a version that is now on the server."""
        self.path.unlink(missing_ok=True)
        write_json(self.note, {"url": self.url, "version": version})

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def finish(self) -> Path:
        with open(self.path, "rb+") as handle:
            os.fsync(handle.fileno())
        return self.path.replace(self.folder / self.name)


def fetch(part: Part) -> None:
    """Make `part` whole, trying again as long as there is hope."""
    failures, most = 0, part.size
    while True:
        try:
            ask(part)
            inspect(part)
            return
        except Broken as error:
            if part.size >= most + PROGRESS:
                failures, most = 0, part.size
            failures += 1
            if failures == TRIES:
                kept = f" {part.size:,} bytes are kept; the next run goes on from there." if part.resumable else ""
                raise FerError(
                    f"{part.url} could not be downloaded: {TRIES} tries in a row failed, "
                    f"the last because {error}.{kept}"
                ) from error
            wait = BACKOFF * 2 ** (failures - 1) if error.wait is None else error.wait
            time.sleep(min(wait, LONGEST_WAIT))


def ask(part: Part) -> None:
    """Ask once for what is missing of `part`.

    Raises:
        Broken: it is not whole yet.
        FerError: asking again is no use.
    """
    headers = {"Accept-Encoding": "identity"}
    if part.resumable:
        headers["Range"] = f"bytes={part.size}-"
        if part.version:
            headers["If-Range"] = part.version
    try:
        with requests.get(part.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            receive(response, part, "Range" in headers)
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
        raise Broken(f"the connection failed ({root(error)})") from error
    except requests.RequestException as error:
        raise FerError(f"{part.url} cannot be downloaded: {root(error)}") from error


def receive(response: requests.Response, part: Part, resumed: bool) -> None:
    status, have = response.status_code, part.size
    sent = response_range(response)
    if status in PASSING:
        raise Broken(f"the server answered {status} {response.reason}", retry_after(response))
    if status == 416 and resumed:
        if have == sent.total:
            return
        part.discard()
        raise Broken(f"the server has no bytes after {have:,}, so its file is another now")
    if status not in (200, 206):
        raise FerError(
            f"{part.url} cannot be downloaded: the server answered {status} {response.reason}. "
            "Check the address, or download it with a browser and give its path as the source."
        )
    version = version_of(response)
    if status == 206 and (not resumed or sent.start != have or (version and part.version not in (None, version))):
        part.discard()
        raise Broken("the server sent another part of the file than it was asked for")
    if status == 200:
        part.start(version)
        have = 0
    length = response.headers.get("Content-Length", "")
    total = sent.total if status == 206 else int(length) if length.isdecimal() else None
    write(response, part, total)
    if total is not None and part.size != total:
        broken = f"{part.size:,} of {total:,} bytes arrived"
        if part.size > total:
            part.discard()
        raise Broken(broken)


def write(response: requests.Response, part: Part, total: int | None) -> None:
    """Append what the server sends."""
    try:
        with open(part.path, "ab") as handle, transfer(part.name, part.size, total) as advance:
            # as they were sent: requests would unpack a .tar.gz that the server calls an encoding
            for piece in response.raw.stream(PIECE, decode_content=False):
                handle.write(piece)
                advance(len(piece))
    except OSError as error:
        if error.errno in FULL:
            raise OSError(error.errno, os.strerror(error.errno), str(part.path)) from error
        raise


def inspect(part: Part) -> None:
    """Look whether what arrived is the kind of file that its name says, and whole as far as can be told without a hash.

    Raises:
        FerError: it is something else, such as a page to log in.
        Broken: its end is missing.
    """
    fault = foreign(part.path, part.name)
    if fault:
        part.discard()
        raise FerError(f"{part.url} {fault}. Download it with a browser and give its path as the source.")
    if part.name.lower().endswith(".zip"):
        whole = zipfile.is_zipfile(part.path)
    elif part.name.lower().endswith(".7z"):
        with open(part.path, "rb") as handle:
            offset, size = struct.unpack("<12xQQ", handle.read(28).ljust(28, b"\0"))
        whole = part.size >= 32 + offset + size
    else:
        whole = True
    if not whole:
        part.discard()
        raise Broken("the end of the archive is missing, though the server calls it whole")


def foreign(path: Path, name: str) -> str | None:
    """Return what the file at `path` is if that is not what its name says."""
    with open(path, "rb") as handle:
        start = handle.read(512)
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return f"is a web page, not {name}: it may ask to log in or to agree to something"
    ending = PurePosixPath(name).suffix.lower()
    if ending in MAGIC and not start.startswith(MAGIC[ending]):
        return f"is not a {ending} archive: it starts with {start[:8]!r}"
    return None


@dataclass
class Range:
    """What a Content-Range header says: the first byte sent and the size of the whole, None where it does not say."""

    start: int | None
    total: int | None


def response_range(response: requests.Response) -> Range:
    """Read `bytes 100-199/200`, `bytes */200` or nothing."""
    place, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    start = place.partition("-")[0]
    return Range(int(start) if start.isdecimal() else None, int(total) if total.isdecimal() else None)


def version_of(response: requests.Response) -> str | None:
    """Return what may stand in If-Range: a strong ETag, or the date."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def retry_after(response: requests.Response) -> float | None:
    """Return the seconds that the server asks to wait, given as a number or a date."""
    asked = response.headers.get("Retry-After", "").strip()
    if asked.isdecimal():
        return float(asked)
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    except ValueError:
        return None


def root(error: BaseException) -> BaseException:
    """Return what the error began with: the outer ones repeat it in many words."""
    while error.__context__:
        error = error.__context__
    return error
