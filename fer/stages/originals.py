"""What the files of a dataset's originals and index say about themselves, for later stages."""

from __future__ import annotations

import json
from pathlib import Path

from fer.storage import open_parquet

# Keys of a Parquet file's metadata (JSON): what of the source is not in raw, and why; whether we drew the faces
LEFT_OUT, DRAWN = "left_out", "synthetic"


def says(file: Path, key: str):
    """Return what a file says about itself: LEFT_OUT or DRAWN, or None if it says nothing."""
    return json.loads((open_parquet(file).metadata.metadata or {}).get(key.encode(), b"null"))


def is_synthetic(file: Path) -> bool:
    """Return whether the faces of originals or of an index are synthetic: pictures of them are stamped so."""
    return bool(says(file, DRAWN))
