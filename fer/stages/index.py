"""index: from raw to `data/index/<dataset>.parquet`, what each original shows, and counts beside the official ones."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa

from fer.datasets import PARTS, Adapter
from fer.progress import track
from fer.storage import open_parquet, read_rows, write_json, write_rows

SCHEMA = pa.schema(
    [
        ("sample", pa.int32()),  # position in raw, index, faces and crops
        ("path", pa.string()),
        ("label", pa.int8()),
        ("part", pa.string()),  # official part, null where there is none
        ("subject", pa.string()),
        ("modality", pa.string()),
        ("pair", pa.string()),  # the visible and the infrared image of one pair share it
        ("sequence", pa.string()),  # the frames of one sequence share it
        ("votes", pa.list_(pa.float32())),  # shares of the classes, where several people labelled the image
    ]
)


def index(adapter: Adapter, raw: Path, target: Path, counts: Path) -> str:
    """Write what each original of `raw` shows to `target`, and the `counts` (JSON); return a line for the terminal."""
    found: Counter = Counter()

    def rows():
        total = open_parquet(raw).metadata.num_rows
        for number, original in enumerate(track(read_rows(raw, ["path", "annotation"], 4096), total, "index")):
            sample = adapter.describe(original["path"], json.loads(original["annotation"]))
            found[sample.part, sample.label] += 1
            yield {"sample": number, "path": original["path"], **vars(sample)}

    total = write_rows(target, SCHEMA, rows())
    official = adapter.parameters.official_counts
    table = {part: [found[part, label] for label in range(len(adapter.classes))] for part in PARTS if part in official}
    write_json(counts, {"classes": adapter.classes, "found": table, "official": official})
    return f"{total:,} samples ({comparison(table, official)})"


def comparison(found: dict[str, list[int]], official: dict[str, list[int]]) -> str:
    """Say part by part how the counts found stand to the official ones."""
    parts = []
    for part, counts in found.items():
        missing = sum(official[part]) - sum(counts)
        agrees = "as official" if counts == official[part] else f"official {sum(official[part]):,}, {-missing:+,}"
        parts.append(f"{part} {sum(counts):,}: {agrees}")
    return "; ".join(parts)
