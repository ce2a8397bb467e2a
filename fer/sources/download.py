"""Downloads over HTTP by pooch: retried if a connection drops, and renamed once they are complete.

A file under way lies in `.under-way/` beside its later place. An interrupted download starts again: pooch does
not ask for the rest of a file.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pooch
import requests

from fer.errors import FerError
from fer.params import Dataset, Download
from fer.progress import Transfer
from fer.sources.guard import is_clutter
from fer.sources.unread import stand_in
from fer.storage import file_sha256, naming, write_text
from fer.wording import counted, examples

logger = logging.getLogger("fer")
pooch.get_logger().setLevel("WARNING")
RETRIES = 5  # pooch waits a second longer before each
TIMEOUT = (30, 60)  # seconds to connect, and without a byte
BY_HAND = "download it with a browser and give its path as the source"
PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses that may be another time


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
        raise FerError(
            f"{parameters.title} has no `downloads` in its parameters. How to obtain it: {parameters.obtain}"
        )
    strangers = sorted({path.name for path in folder.glob("*") if not is_clutter(path.name)} - wanted.keys())
    if strangers:
        raise FerError(f"{folder} holds {', '.join(strangers)}, which `downloads` does not list: move it elsewhere")
    for item in wanted.values():
        download(item.url, folder, item.sha256)
    if unpinned := [name for name, item in wanted.items() if not item.sha256]:
        logger.warning(
            "unpinned: no sha256 is known of %s (%s), so a file replaced on the server would not be noticed",
            counted(len(unpinned), "download"),
            examples(unpinned),
        )
    return folder


def download(url: str, folder: Path, sha256: str | None = None) -> Path:
    """Return the file at `url`, fetched into `folder` unless it is there already.

    Args:
        url: its last component, or what follows "#", becomes the file's name.
        sha256: of the whole file; without it a file that is there is the right one unless it is noted to be from
            elsewhere.

    Raises:
        FerError: the server refuses, keeps failing, or what it sends is not the file.
    """
    name = file_name(url)
    target, note, under_way = folder / name, folder / f".{name}.url", folder / ".under-way"
    if target.exists():
        same = file_sha256(target) == sha256 if sha256 else not note.exists() or note.read_text("utf-8") == url
        if same:
            return target
    shutil.rmtree(under_way, ignore_errors=True)  # what a killed download left
    under_way.mkdir(parents=True)
    try:
        fetch(url, under_way, name, sha256)
        write_text(note, url)
        os.replace(under_way / name, target)
    finally:
        shutil.rmtree(under_way, ignore_errors=True)
    return target


def fetch(url: str, folder: Path, name: str, sha256: str | None) -> None:
    """Bring one whole file into `folder`."""

    def attempt(url: str, output: str, _: pooch.Pooch) -> None:
        try:
            with Transfer(name) as bar:
                http = pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"})
                http(url, output, None)
        except requests.HTTPError as error:
            answer = error.response
            if answer.status_code in PASSING:
                raise
            raise FerError(
                f"{url} cannot be downloaded: the server answered {answer.status_code} {answer.reason}. "
                f"Check the address, or {BY_HAND}."
            ) from error
        except (requests.TooManyRedirects, requests.exceptions.InvalidSchema) as error:
            raise FerError(f"{url} cannot be downloaded: {root(error)}") from error

    source = pooch.create(folder, url, registry={name: None}, urls={name: url}, retry_if_failed=RETRIES)
    try:
        with naming(folder / name):
            source.fetch(name, downloader=attempt)
    except requests.RequestException as error:
        raise FerError(
            f"{url} could not be downloaded: {RETRIES + 1} attempts failed, the last because of {root(error)}. "
            f"Try again later, or {BY_HAND}."
        ) from error
    with open(folder / name, "rb") as handle:
        if what := stand_in(handle.read(512)):
            raise FerError(f"{url} {what}. Then give its path as the source.")
    if sha256 and (found := file_sha256(folder / name)) != sha256:
        raise FerError(
            f"{url} is not the expected file: its sha256 is {found}, expected {sha256}. "
            "Has it been replaced by another version?"
        )


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
            f"{url} does not contain the file's name; add it after a #, such as {url.partition('#')[0]}#images.zip"
        )
    return name


def root(error: BaseException) -> BaseException:
    """Return what the error began with: the outer ones repeat it in many words."""
    while error.__context__:
        error = error.__context__
    return error
