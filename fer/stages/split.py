"""split: from raw, index and faces to `data/splits/<dataset>.<protocol>.parquet`, who trains and who tests.

Beside it lies the leakage audit of every fold, as JSON and as a page with the pictures side by side.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fer import leakage, protocols
from fer.errors import FerError
from fer.params import Dataset
from fer.reporting.leakage import page
from fer.storage import read_frame, write_frame, write_json, write_text

INDEX_COLUMNS = ["sample", "label", "part", "subject", "modality", "pair", "sequence"]
SHOWN = 5  # folds that a message names
FACES_COLUMNS = ["sample", "used", "blank", "pixels", "phash"]


def split(
    raw: Path,
    index: Path,
    faces: Path,
    dataset: Dataset,
    protocol: str,
    seed: int,
    target: Path,
    audit_json: Path,
    audit_page: Path,
    synthetic: bool = False,
) -> str:
    """Write the folds of `protocol` to `target` and their audit to `audit_json` and `audit_page`.

    `dataset.audit.on_leak` says what becomes of duplicates across parts: they are reported, or removed from train (and
    from val, where they duplicate test) after the audit, or an error, which leaves the audit and writes no split.

    Args:
        seed: of the protocols that draw.
        synthetic: the page then says so.

    Returns:
        A line for the terminal.

    Raises:
        FerError: a class lost all its images for want of a face, or is absent from a fold's train or from all tests,
            and `dataset.allow_empty_classes` is false.
    """
    samples, without_face = usable(index, faces, dataset)
    table = protocols.assign(protocol, samples, dataset, seed)
    absent = require_every_class(table, samples, dataset, protocol, index)
    samples = samples[samples["sample"].isin(table["sample"])]  # official protocols may leave some out
    pairs = leakage.duplicates(samples, raw, dataset.audit)
    found = leakage.audit_split(table, samples, pairs)
    line = f"{table['fold'].nunique()} fold(s): {describe(table)}; {without_face:,} samples without a face left out; "
    line += "; ".join(leakage.leaks(found["totals"])) or "no leaks"
    kept = table
    if dataset.audit.on_leak == "drop_from_train":
        gone = leakage.removals(table, samples, pairs)
        kept = table.drop(gone.index)
        protocols.require_every_part(kept, list(table["fold"].unique()), protocol)
        absent = require_every_class(kept, samples, dataset, protocol, index)
        found["removed"] = {
            fold: {part: sorted(map(int, own["sample"])) for part, own in rows.groupby("part")}
            for fold, rows in gone.groupby("fold")
        }
        found["kept"] = leakage.audit_split(kept, samples, pairs)["totals"]
        line += f"; {leakage.remaining(found)[0]}"
    found |= {"protocol": protocol, "seed": seed, "parameters": dataset.audit.model_dump(), "synthetic": synthetic}
    write_json(audit_json, found)
    write_text(audit_page, page(found, dataset, samples, leakage.crossings(table, pairs), raw))
    if dataset.audit.on_leak == "error" and (leaks := leakage.forbidden(found["totals"], protocol)):
        raise FerError(
            f"protocol {protocol!r} of {dataset.title} leaks: {'; '.join(leaks)}. See {audit_page} and {audit_json}.\n"
            "  What to do: audit.on_leak in the dataset's parameter file may be report or drop_from_train instead, or "
            "take a protocol that keeps these apart."
        )
    write_frame(target, kept)
    return line + (f"; no image of {'; '.join(absent)}" if absent else "")


def usable(index: Path, faces: Path, dataset: Dataset) -> tuple[pd.DataFrame, int]:
    """Return what index and faces say of the samples that align kept, and the number of the others.

    A pair of which one image was dropped is dropped whole.

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
    found, left = (np.bincount(labels, minlength=len(dataset.classes)) for labels in (found, left))
    names = np.array(dataset.classes)
    lost, never = names[(left == 0) & (found > 0)], names[found == 0]
    faults = [f"{faces}: all images of {protocols.listing(lost)} were left out for want of a face"] if len(lost) else []
    faults += [f"{index} has no image of {protocols.listing(never)}"] if len(never) else []
    if faults:
        counts = ", ".join(
            f"{name} {some:,} of {every:,}" for name, some, every in zip(names, left, found, strict=True)
        )
        raise FerError(
            f"{'; '.join(faults)}. Images left: {counts}.\n  What to do: `alignment.missing: full_frame` keeps images "
            f"without a face; more factors in `alignment.enlarge` find more. {protocols.go_on(index.stem)}"
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
            + f".\n  What to do: check {index}, or take a protocol that spreads every class. "
            + protocols.go_on(index.stem)
        )
    return absent


def describe(table: pd.DataFrame) -> str:
    sizes = table.groupby(["fold", "part"]).size().groupby("part").mean()
    return ", ".join(f"{part} {sizes[part]:,.0f}" for part in protocols.PARTS)
