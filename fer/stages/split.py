"""split: from index and faces to `data/splits/<dataset>.<protocol>.parquet`, who trains and who tests."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fer import protocols
from fer.storage import atomic, open_parquet


def split(index: Path, faces: Path, protocol: str, target: Path) -> str:
    """Write the folds of `protocol` to `target`; return a line for the terminal."""
    samples = open_parquet(index).read(["sample", "label", "part", "subject"]).to_pandas()
    used = open_parquet(faces).read(["used"]).to_pandas()["used"]
    table = protocols.assign(protocol, samples[used.to_numpy()])
    with atomic(target) as scratch:
        table.to_parquet(scratch, index=False)
    return f"{table['fold'].nunique()} fold(s): {describe(table)}; {(~used).sum():,} samples without a face left out"


def describe(table: pd.DataFrame) -> str:
    sizes = table.groupby(["fold", "part"]).size().groupby("part").mean()
    return ", ".join(f"{part} {sizes[part]:,.0f}" for part in protocols.PARTS)
