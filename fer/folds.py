"""The names of a protocol's folds and of their parts, known before any data exists, so that the DAG can be drawn."""

from __future__ import annotations

from typing import get_args

from fer.errors import FerError
from fer.params import Dataset, Protocol

FOLDS = 10  # of kfold_subject
PARTS = ("train", "val", "test")
WHOLE = "all"  # the part of a dataset whose owners define none


def folds(protocol: str, dataset: Dataset) -> list[str]:
    """Return the names of the protocol's folds on `dataset`.

    Raises:
        FerError: unknown protocol, or one that needs the dataset's `subjects` and its parameter file has none.
    """
    if protocol not in get_args(Protocol):
        raise FerError(f"unknown protocol {protocol!r}. Known: {', '.join(get_args(Protocol))}")
    if protocol == "kfold_subject":
        return [str(number) for number in range(FOLDS)]
    if protocol not in ("leave_one_subject_out", "by_character"):
        return ["0"]
    names = dataset.subjects or []
    if len(names) < 3 or len(set(names)) < len(names):
        raise FerError(
            f"protocol {protocol!r} makes a fold of every subject of {dataset.title} and must know them beforehand. "
            f"Add `subjects:` to its parameter file, at least three different names; "
            f"given: {names or 'none'}"
        )
    return list(names)
