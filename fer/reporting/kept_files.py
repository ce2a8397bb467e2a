"""Reading and writing what is kept of a system's runs on real faces (`fer.reporting.kept`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fer.reporting.kept import ELSEWHERE, KEY, Entry
from fer.storage import read_frame, read_json, write_frame, write_json

OWN_CLUSTER = "sample:"  # how the cluster of an image that stands for itself begins


def write_entry(place: Path, facts: dict, table: pd.DataFrame, elsewhere: pd.DataFrame | None = None) -> None:
    """Write `<place>.parquet` and `<place>.json`, and `<place>.elsewhere.parquet` where there is such a table.

    Probabilities become half precision, in which the class that is predicted stays the most probable one. An image that
    stands for itself has no cluster.
    """
    columns = [f"p_{name}" for name in facts["classes"]]
    values = half_precision(table[columns].to_numpy(np.float32), table["predicted"].to_numpy(np.int64))
    kept = pd.DataFrame(
        {
            "fold": table["fold"].astype("category"),
            "seed": table["seed"].astype("int32"),
            "sample": table["sample"].astype("int32"),
            "cluster": table["cluster"].where(~table["cluster"].str.startswith(OWN_CLUSTER)).astype("category"),
            "copy": table["copy"].astype(bool),
            "label": table["label"].astype("int8"),
        }
    )
    kept = pd.concat([kept.reset_index(drop=True), pd.DataFrame(values, columns=columns)], axis=1)
    write_frame(place.with_name(f"{place.name}.parquet"), kept.sort_values([*KEY, "sample"], ignore_index=True))
    if elsewhere is not None and len(elsewhere):
        words = [name for name in ELSEWHERE if name not in ("seed", "sample")]
        ordered = elsewhere.sort_values([*KEY, "dataset", "sample"], ignore_index=True)
        write_frame(
            place.with_name(f"{place.name}.elsewhere.parquet"), ordered.astype(dict.fromkeys(words, "category"))
        )
    write_json(place.with_name(f"{place.name}.json"), facts)


def half_precision(probabilities: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return float16 (n, classes) whose first largest value is that of the class `predicted`."""
    values = probabilities.astype(np.float16)
    rows = np.arange(len(values))
    for _ in range(values.shape[1]):  # two that have become equal: the other one is lowered by the least step
        first = values.argmax(1)
        wrong = first != predicted
        if not wrong.any():
            break
        values[rows[wrong], first[wrong]] = np.nextafter(values[wrong, predicted[wrong]], np.float16(-1))
    return values


def read_files(facts: Path) -> tuple[dict, pd.DataFrame, pd.DataFrame]:
    """Return what a JSON file and the Parquet files beside it hold, as `write_entry` was given it."""
    place = facts.name.removesuffix(".json")
    found, table = read_json(facts), read_frame(facts.with_name(f"{place}.parquet"))
    other = facts.with_name(f"{place}.elsewhere.parquet")
    elsewhere = read_frame(other).astype({"fold": str}) if other.exists() else pd.DataFrame(columns=list(ELSEWHERE))
    columns = [f"p_{name}" for name in found["classes"]]
    table["fold"] = table["fold"].astype(str)
    own = OWN_CLUSTER + table["sample"].astype(str)
    table["cluster"] = table["cluster"].astype(object).where(table["cluster"].notna(), own)
    table[columns] = table[columns].astype(np.float32)
    table["predicted"] = table[columns].to_numpy().argmax(1)
    return found, table, elsewhere


def read_entry(facts: Path) -> Entry:
    """Return what is kept in a JSON file and the Parquet file beside it, less the seeds that lack folds of others."""
    found, table, elsewhere = read_files(facts)
    folds = table.groupby("seed")["fold"].transform("nunique")
    table = table[folds == folds.max()].reset_index(drop=True)
    return Entry(table, found["classes"], facts.name.removesuffix(".json"), found, elsewhere)


def read_entries(folder: Path) -> list[Entry]:
    """Return every entry of a folder, by name."""
    return [read_entry(path) for path in sorted(folder.glob("*.json"))]
