"""What the file of a dataset's originals says of itself, for the stages after acquire."""

from __future__ import annotations

import json
from pathlib import Path

from fer.storage import open_parquet

# Keys of the Parquet file's metadata (JSON): what of the source is not here, and why; whether we drew the faces
LEFT_OUT, DRAWN = "left_out", "synthetic"


def says(raw: Path, key: str):
    """Return what a raw file says of itself: LEFT_OUT or DRAWN, None where it says nothing."""
    return json.loads((open_parquet(raw).metadata.metadata or {}).get(key.encode(), b"null"))
