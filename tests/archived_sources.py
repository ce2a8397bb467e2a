"""Archives inside sources: files are listed as {"Image/aligned.zip/aligned/train_00001_aligned.jpg": bytes}."""

import io
import re
import zipfile
from collections import defaultdict

import py7zr
from dataset_sources import Files

ARCHIVE = re.compile(r"(?P<archive>.*?\.(?:zip|7z))/(?P<inside>.*)", re.IGNORECASE)


def packed(files: Files) -> Files:
    """Return the files as they are on disk when the archives in their paths are archives."""
    plain, archives = {}, defaultdict(dict)
    for path, data in files.items():
        if match := ARCHIVE.fullmatch(path):
            archives[match["archive"]][match["inside"]] = data
        else:
            plain[path] = data
    return plain | {path: archived(path, packed(content)) for path, content in archives.items()}


def archived(path: str, files: Files) -> bytes:
    """Return a zip or 7z archive, as the ending of `path` says."""
    buffer = io.BytesIO()
    if path.lower().endswith(".zip"):
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        with py7zr.SevenZipFile(buffer, "w") as archive:
            for name, data in files.items():
                archive.writestr(data, name)
    return buffer.getvalue()


def without_archives(files: Files) -> Files:
    """Return the files as they are on disk when every archive is unpacked into a folder of its name."""
    return {re.sub(r"\.(zip|7z)/", "/", path, flags=re.IGNORECASE): data for path, data in files.items()}
