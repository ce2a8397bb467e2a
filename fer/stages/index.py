"""index: from raw to `data/index/<dataset>.parquet`, what each original shows, and counts beside the official ones."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from fer.datasets import Adapter
from fer.errors import FerError
from fer.folds import PARTS, WHOLE
from fer.progress import track
from fer.stages.originals import DRAWN, LEFT_OUT, is_synthetic, says
from fer.storage import open_parquet, read_rows, write_json, write_rows
from fer.wording import counted, go_on

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
    """Write what each original of `raw` shows to `target`, and the `counts` (JSON); return a line for the terminal.

    Raises:
        FerError: a class has no image, and the dataset's `allow_empty_classes` is false; nothing is written.
    """
    total = open_parquet(raw).metadata.num_rows
    found, images = Counter(), Counter()
    distinct: dict[str, set] = {"subject": set(), "sequence": set(), "pair": set()}

    empty: list[str] = []

    def rows() -> Iterator[dict]:
        nonlocal empty
        for number, original in enumerate(track(read_rows(raw, ["path", "annotation"], 4096), total, "index")):
            sample = adapter.describe(original["path"], json.loads(original["annotation"]))
            images[sample.label] += 1
            if sample.modality == "visible" or sample.pair is None:  # a pair is one sample
                found[sample.part or WHOLE, sample.label] += 1
            for key, values in distinct.items():
                values.add(getattr(sample, key))
            yield {"sample": number, "path": original["path"], **vars(sample)}
        empty = require_every_class(raw, images, adapter)

    synthetic = is_synthetic(raw)
    write_rows(target, SCHEMA, rows(), lambda: {DRAWN: json.dumps(synthetic)})
    classes, official = adapter.classes, adapter.parameters.official_counts
    parts = [
        part for part in (*PARTS, WHOLE) if part in official or any(found[part, label] for label in range(len(classes)))
    ]
    table = {part: [found[part, label] for label in range(len(classes))] for part in parts}
    kinds = {f"{key}s": len(values - {None}) for key, values in distinct.items()}
    facts = kinds | {"synthetic": synthetic}
    left_out = says(raw, LEFT_OUT) or {}
    write_json(counts, {"classes": classes, "found": table, "official": official, "left_out": left_out} | facts)
    groups = [counted(count, kind.removesuffix("s")) for kind, count in kinds.items() if count]
    groups += [f"no image of {', '.join(empty)}"] if empty else []
    return f"{counted(total, 'sample')} ({'; '.join([comparison(table, official), *groups])})"


def require_every_class(raw: Path, images: Counter, adapter: Adapter) -> list[str]:
    """Return the names of the classes without an image; raise a `FerError` unless the parameters allow them."""
    classes, parameters = adapter.classes, adapter.parameters
    empty = [name for label, name in enumerate(classes) if not images[label]]
    if empty and not parameters.allow_empty_classes:
        raise FerError(
            f"{raw}: no image of {', '.join(empty)}. Images found: "
            + ", ".join(f"{name} {images[label]:,}" for label, name in enumerate(classes))
            + f".\n  What to do: check that the source of {parameters.title} is complete and its classes are named as "
            f"expected ({parameters.obtain}). {go_on(raw.stem)}"
        )
    return empty


def comparison(found: dict[str, list[int]], official: dict[str, list[int]]) -> str:
    """Return in words, part by part, how the counts found differ from the official ones."""
    parts = []
    for part, counts in found.items():
        if part not in official:
            parts.append(f"{part} {sum(counts):,}")
            continue
        missing = sum(official[part]) - sum(counts)
        agrees = "as official" if counts == official[part] else f"official {sum(official[part]):,}, {-missing:+,}"
        parts.append(f"{part} {sum(counts):,}: {agrees}")
    return "; ".join(parts)
