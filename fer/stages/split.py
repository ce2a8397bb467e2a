"""split: from raw, index and faces to `data/splits/<dataset>.<protocol>.parquet`, which samples train and which test.

Beside it lies the leakage audit of every fold, as JSON and as a page with the pictures side by side.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fer import leakage, protocols
from fer.duplicates import duplicates
from fer.errors import FerError
from fer.folds import PARTS
from fer.params import Dataset
from fer.reporting.leakage import page
from fer.storage import read_frame, write_frame, write_json, write_text
from fer.wording import counted, go_on

INDEX_COLUMNS = ["sample", "label", "part", "subject", "modality", "pair", "sequence"]
SHOWN = 5  # folds that a message names
FACES_COLUMNS = ["sample", "detected", "used", "blank", "pixels", "phash"]

# By `on_leak`, what to do where the split is refused
ADVICE = {
    "error": "audit.on_leak in the dataset's parameter file may be report or drop_from_train instead, or take a "
    "protocol that keeps these apart.",
    "drop_from_train": "check whether these are copies. If so, raise audit.most_dropped in the dataset's parameter "
    "file, or choose a protocol by subject; if not, raise audit.likeness.",
}


def split(
    raw: Path,
    index: Path,
    faces: Path,
    crops: Path,
    dataset: Dataset,
    protocol: str,
    seed: int,
    target: Path,
    audit_json: Path,
    audit_page: Path,
    refused_page: Path,
    synthetic: bool = False,
) -> str:
    """Write the folds of `protocol` to `target` and their audit to `audit_json` and `audit_page`.

    `dataset.audit.on_leak` says what becomes of duplicates across parts: they are reported, or removed from train (and
    from val, where they duplicate test) after the audit, or an error. If that, or too large a loss, refuses the
    split, none is written, and the page is also at `refused_page`: Snakemake deletes the outputs of a job that fails.

    Args:
        seed: of the protocols that draw.
        synthetic: the page then says so.

    Returns:
        A line for the terminal.

    Raises:
        FerError: a class lost all its images because no face was found, or is absent from a fold's train or from all
            tests, and `dataset.allow_empty_classes` is false.
    """
    samples, without_face = usable(index, faces, dataset)
    table = protocols.assign(protocol, samples, dataset, seed)
    absent = require_every_class(table, samples, dataset, protocol, index)
    samples = samples[samples["sample"].isin(table["sample"])]  # official protocols may leave some out
    pairs = duplicates(samples, raw, faces, crops, dataset)
    found = leakage.audit_split(table, samples, pairs)
    line = f"{counted(table['fold'].nunique(), 'fold')}: {describe(table)}; "
    line += f"{counted(without_face, 'sample')} without a face left out; "
    line += "; ".join(leakage.leaks(found["totals"])) or "no leaks"
    kept, refusal = table, ""
    if dataset.audit.on_leak == "drop_from_train":
        kept, refusal = without_duplicates(table, samples, pairs, dataset, found)
        line += f"; {leakage.remaining(found)[0]}"
    elif dataset.audit.on_leak == "error" and (leaks := leakage.forbidden(found["totals"], protocol)):
        refusal = f"protocol {protocol!r} of {dataset.title} leaks: {'; '.join(leaks)}"
    found |= {"protocol": protocol, "seed": seed, "parameters": dataset.audit.model_dump(), "synthetic": synthetic}
    write_json(audit_json, found)
    html = page(found, dataset, samples, leakage.crossings(table, pairs), raw)
    write_text(audit_page, html)
    if refusal:
        write_text(refused_page, html)
        raise FerError(f"{refusal}. See {refused_page}.\n  What to do: {ADVICE[dataset.audit.on_leak]}")
    if kept is not table:
        absent = require_every_class(kept, samples, dataset, protocol, index)
    refused_page.unlink(missing_ok=True)
    write_frame(target, kept)
    return line + (f"; no image of {'; '.join(absent)}" if absent else "")


def without_duplicates(
    table: pd.DataFrame, samples: pd.DataFrame, pairs: pd.DataFrame, dataset: Dataset, found: dict
) -> tuple[pd.DataFrame, str]:
    """Return the split without its duplicates, and in words why it is refused ("" where it is not).

    What was removed is added to the audit `found`: `removed`, the samples by fold and part; `dropped`, by fold and
    class the number of train samples removed and that of all; `kept`, what the rest still leaks.
    """
    gone = leakage.removals(table, samples, pairs)
    kept = table.drop(gone.index)
    lost = leakage.dropped(table, gone, samples.set_index("sample")["label"], dataset.classes)
    found["removed"] = {
        fold: {part: sorted(map(int, own["sample"])) for part, own in rows.groupby("part")}
        for fold, rows in gone.groupby("fold")
    }
    found["dropped"] = lost
    found["kept"] = leakage.audit_split(kept, samples, pairs)["totals"]
    return kept, leakage.excessive(lost, kept, dataset.audit.most_dropped)


def usable(index: Path, faces: Path, dataset: Dataset) -> tuple[pd.DataFrame, int]:
    """Return what index and faces say of the samples that align kept, and the number of the others.

    If one image of a pair was dropped, so is the other.

    Raises:
        FerError: none of a class is left, and `dataset.allow_empty_classes` is false.
    """
    samples = read_frame(index, INDEX_COLUMNS)
    samples = samples.merge(read_frame(faces, FACES_COLUMNS), on="sample", validate="one_to_one")
    dropped = samples.loc[~samples["used"], "pair"].dropna()
    used = samples["used"] & ~samples["pair"].isin(dropped)
    if not dataset.allow_empty_classes:
        require_faces_of_every_class(samples["label"], samples.loc[used, "label"], dataset, index, faces)
    return samples[used].reset_index(drop=True), int((~used).sum())


def require_faces_of_every_class(found: pd.Series, left: pd.Series, dataset: Dataset, index: Path, faces: Path) -> None:
    """Refuse a dataset in which a class has no image, or lost all of them because no face was found."""
    found, left = (np.bincount(labels, minlength=len(dataset.classes)) for labels in (found, left))
    names = np.array(dataset.classes)
    lost, never = names[(left == 0) & (found > 0)], names[found == 0]
    faults = [f"{faces}: all images of {', '.join(lost)} were left out because no face was found"] if len(lost) else []
    faults += [f"{index} has no image of {', '.join(never)}"] if len(never) else []
    if faults:
        counts = ", ".join(
            f"{name} {some:,} of {every:,}" for name, some, every in zip(names, left, found, strict=True)
        )
        raise FerError(
            f"{'; '.join(faults)}. Images left: {counts}.\n  What to do: `alignment.missing: full_frame` keeps images "
            f"without a face; more factors in `alignment.enlarge` find more faces. {go_on(index.stem)}"
        )


def require_every_class(
    table: pd.DataFrame, samples: pd.DataFrame, dataset: Dataset, protocol: str, index: Path
) -> list[str]:
    """Return, in words, where classes are absent; raise a `FerError` unless the parameters allow it."""
    absent = protocols.classes_missing(table, samples, dataset.classes)
    if absent and not dataset.allow_empty_classes:
        shown = absent[:SHOWN] + ([f"and {len(absent) - SHOWN:,} more"] if len(absent) > SHOWN else [])
        counts = samples["label"].value_counts()
        raise FerError(
            f"protocol {protocol!r} of {dataset.title} leaves parts without images of a class: {'; '.join(shown)}. "
            "Images with a face: "
            + ", ".join(f"{name} {counts.get(label, 0):,}" for label, name in enumerate(dataset.classes))
            + f".\n  What to do: check {index}, or choose a protocol that spreads every class. "
            + go_on(index.stem)
        )
    return absent


def describe(table: pd.DataFrame) -> str:
    """Return the mean size of each part over the folds, in words."""
    sizes = table.groupby(["fold", "part"]).size().groupby("part").mean()
    return ", ".join(f"{part} {sizes[part]:,.0f}" for part in PARTS)
