"""Protocols: how the samples of a dataset become folds of train, val and test.

A protocol's folds are known from its name, so the DAG can be drawn before any data exists.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from fer.errors import FerError

PARTS = ("train", "val", "test")


def folds(protocol: str) -> list[str]:
    """Return the names of the protocol's folds."""
    if protocol not in PROTOCOLS:
        raise FerError(f"unknown protocol {protocol!r}. Known: {', '.join(sorted(PROTOCOLS))}")
    return ["0"]


def assign(protocol: str, index: pd.DataFrame) -> pd.DataFrame:
    """Return the split: one row a sample and fold, with columns sample (int32), fold (str) and part (str).

    Args:
        protocol: name of a protocol, such as "official".
        index: columns sample, label, part (the official part or None), subject.

    Raises:
        FerError: the data lack what the protocol needs.
    """
    split = PROTOCOLS[protocol](index).astype({"sample": "int32"})
    for fold, rows in split.groupby("fold"):
        missing = [part for part in PARTS if part not in set(rows["part"])]
        if missing:
            raise FerError(
                f"protocol {protocol!r}, fold {fold}: no samples for {', '.join(missing)}. "
                "Is the source complete? (FER2013's train.csv, for one, holds the Training images alone.)"
            )
    return split


def official(index: pd.DataFrame) -> pd.DataFrame:
    """The parts that the dataset's owners defined, as a single fold."""
    return index.loc[index["part"].notna(), ["sample", "part"]].assign(fold="0")[["sample", "fold", "part"]]


PROTOCOLS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {"official": official}
