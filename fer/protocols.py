"""Protocols: how the samples of a dataset become folds of train, val and test.

Samples that belong together stay together. A *group* is the samples of one pair or sequence, or a single sample. Random
draws never split a group, except in the protocols named random, which repeat published splits that do.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from typing import get_args

import numpy as np
import pandas as pd

from fer.errors import FerError
from fer.folds import FOLDS, PARTS, folds
from fer.params import Dataset, Protocol
from fer.wording import counted

DRAWN = re.compile(r"(stratified|random)_\d+_(\d+)_(\d+)")  # of a name, the percentages of val and of test
CARVED = 0.1  # share of an official train that becomes val where the owners made none


def assign(protocol: str, index: pd.DataFrame, dataset: Dataset, seed: int) -> pd.DataFrame:
    """Return the split: one row per fold and sample, with columns sample (int32), fold (str) and part (str).

    Rows are in the order of `folds` and of the samples. The same seed gives the same split, whatever the order of the
    rows of `index`.

    Args:
        protocol: name of a protocol (`fer.params.Protocol`).
        index: columns sample, label, part (the official part or None), subject, pair, sequence; the last three may
            be missing.
        dataset: the dataset's parameters.
        seed: of the protocols that draw; the others give the same split for every seed.

    Raises:
        FerError: the data lack what the protocol needs, such as official parts or subjects.

    Examples:
        >>> from fer.params import load_dataset
        >>> index = pd.DataFrame({"sample": range(20), "label": [0, 1] * 10})
        >>> split = assign("stratified_70_15_15", index, load_dataset("jaffe"), seed=0)
        >>> split.value_counts("part").to_dict()
        {'train': 12, 'test': 4, 'val': 4}
        >>> assign("official", index, load_dataset("jaffe"), seed=0)
        Traceback (most recent call last):
        fer.errors.FerError: protocol 'official': the owners of JAFFE defined no parts. ...
    """
    names = folds(protocol, dataset)
    index = index.sort_values("sample", ignore_index=True)
    index = index.reindex(columns=["sample", "label", "part", "subject", "pair", "sequence"])
    index["group"] = groups(index)
    if protocol == "official":
        parts = {"0": official(index, dataset, seed)}
    elif drawn := DRAWN.fullmatch(protocol):
        kind, val, test = drawn.groups()
        if kind == "random":  # as if nothing belonged together but the images of a pair
            index["group"] = groups(index.assign(sequence=None))
        parts = {"0": stratified(index, int(val) / 100, int(test) / 100, seed)}
    elif protocol == "kfold_subject":
        parts = rotated(folds_of_subjects(index, seed), names)
    else:
        require_one_subject_a_group(index)
        require_these_subjects(index, names, dataset)
        parts = rotated(index["subject"], names)
    tables = [
        pd.DataFrame({"sample": index["sample"].astype("int32"), "fold": fold, "part": part})[part.notna()]
        for fold, part in parts.items()
    ]
    split = pd.concat(tables, ignore_index=True)
    require_every_part(split, names, protocol)
    return split


# --- protocols: each returns the part of every row of the index ------------------------------------------------------


def official(index: pd.DataFrame, dataset: Dataset, seed: int) -> pd.Series:
    """The parts that the dataset's owners defined.

    If they defined no val (RAF-DB), a tenth of train becomes val, stratified by label. Samples in no part are left out.
    """
    parts = index["part"].copy()
    if parts.isna().all():
        raise FerError(
            f"protocol 'official': the owners of {dataset.title} defined no parts. "
            f"Use another protocol: {', '.join(name for name in get_args(Protocol) if name != 'official')}"
        )
    train = parts == "train"
    if "val" not in dataset.official_counts and train.any() and not (parts == "val").any():
        parts[train] = stratified(index[train], CARVED, 0, seed)
    return parts


def stratified(index: pd.DataFrame, val: float, test: float, seed: int) -> pd.Series:
    """Draw the shares `val` and `test` of the groups of each class, at least one group each; the rest is train.

    scikit-learn's stratified splitters would leave a part without a small class, or refuse it; this does neither.
    """
    generator = np.random.default_rng(seed)
    part_of_group: dict[int, str] = {}
    classes = class_of_groups(index)
    for label, members in classes.groupby(classes, sort=True):
        drawn = generator.permutation(members.index.to_numpy())
        sizes = {"val": size(len(drawn), val), "test": size(len(drawn), test)}
        if sum(sizes.values()) >= len(drawn):
            raise FerError(
                f"class {label} has {counted(len(drawn), 'independent sample')} (pairs and sequences count once); "
                f"a stratified split needs at least {sum(map(bool, sizes.values())) + 1} of each class"
            )
        names = np.repeat(["val", "test", "train"], [*sizes.values(), len(drawn) - sum(sizes.values())])
        part_of_group.update(zip(drawn, names, strict=True))
    return index["group"].map(part_of_group)


def size(groups: int, share: float) -> int:
    """Return how many of the groups make up a share, rounded: at least one, unless the share is 0."""
    return max(1, round(groups * share)) if share else 0


def folds_of_subjects(index: pd.DataFrame, seed: int) -> pd.Series:
    """Return the fold, "0" to "9", in which each row is tested: whole subjects, classes as even as these allow."""
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second: the DAG is drawn without it

    require_one_subject_a_group(index)
    subjects = index["subject"].nunique()
    if subjects < FOLDS:
        raise FerError(
            f"protocol 'kfold_subject' needs at least {FOLDS} subjects, the samples show {subjects}. "
            "Use leave_one_subject_out, or a stratified protocol if subjects are unknown."
        )
    if index["label"].value_counts().max() < FOLDS:
        raise FerError(f"protocol 'kfold_subject' needs at least one class with {FOLDS} samples")
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    tested = np.empty(len(index), int)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # some folds then test without it
        for fold, (_, rows) in enumerate(splitter.split(index, index["label"], index["subject"])):
            tested[rows] = fold
    return pd.Series(tested, index.index).astype(str)


def rotated(unit: pd.Series, names: list[str]) -> dict[str, pd.Series]:
    """Make a fold of every name: its own rows are test, those of the next name val, all others train."""
    return {
        name: pd.Series(np.select([unit == name, unit == following], ["test", "val"], "train"), unit.index)
        for name, following in zip(names, [*names[1:], names[0]], strict=True)
    }


# --- groups ----------------------------------------------------------------------------------------------------------


def groups(index: pd.DataFrame) -> np.ndarray:
    """Return the group of each row: rows joined by `pair` or `sequence`, over several steps too, share a number.

    Numbers follow the order of the rows.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows = np.arange(len(index))
    links = [
        np.stack([known.index.to_numpy(), known.groupby(known).transform(lambda same: same.index[0]).to_numpy()])
        for known in (index[key].reset_index(drop=True).dropna() for key in ("pair", "sequence") if key in index)
        if len(known)
    ]
    start, end = np.concatenate(links, axis=1) if links else (rows[:0], rows[:0])
    graph = coo_array((np.ones(len(start), bool), (start, end)), shape=(len(index), len(index)))
    labels = connected_components(graph, directed=False)[1]
    return pd.factorize(labels)[0]


def class_of_groups(index: pd.DataFrame) -> pd.Series:
    """Return the class of each group (indexed by it): the most frequent of its rows, or the rarest of those that tie.

    So a CK+ sequence counts as its expression, not as the neutral face it starts from.
    """
    total = index["label"].value_counts()
    counts = index.groupby(["group", "label"]).size().rename("rows").reset_index()
    counts["rarity"] = counts["label"].map(total)
    ordered = counts.sort_values(["group", "rows", "rarity", "label"], ascending=[True, False, True, True])
    return ordered.drop_duplicates("group").set_index("group")["label"]


# --- what the data must have -----------------------------------------------------------------------------------------


def require_one_subject_a_group(index: pd.DataFrame) -> None:
    """Refuse an index in which a sample has no subject, or a pair or sequence shows several."""
    unknown = index.loc[index["subject"].isna(), "sample"]
    if len(unknown):
        raise FerError(
            f"a protocol by subject needs the subject of every sample; {len(unknown):,} of {len(index):,} samples have "
            f"none, such as sample {unknown.iloc[0]}. Use a stratified protocol or the official one."
        )
    subjects = index.groupby("group")["subject"].nunique()
    if (subjects > 1).any():
        mixed = index[index["group"] == subjects.index[subjects > 1][0]]
        raise FerError(
            f"samples {', '.join(map(str, mixed['sample'].head(5)))} belong together (pair or sequence) but show "
            f"the subjects {', '.join(mixed['subject'].unique())}. Check how the adapter names subjects."
        )


def require_these_subjects(index: pd.DataFrame, names: list[str], dataset: Dataset) -> None:
    """Refuse an index whose subjects are not those that the dataset's parameters list, from which folds are named."""
    found = set(index["subject"])
    unlisted, absent = sorted(found - set(names)), [name for name in names if name not in found]
    if unlisted or absent:
        raise FerError(
            f"the subjects of {dataset.title} and `subjects` of its parameter file differ."
            + (f" In the data alone: {', '.join(unlisted)}." if unlisted else "")
            + (
                f" Without a sample (left out, or dropped because no face was found): {', '.join(absent)}."
                if absent
                else ""
            )
            + " Correct the list, or add the samples."
        )


def classes_missing(split: pd.DataFrame, samples: pd.DataFrame, classes: list[str]) -> list[str]:
    """Return, in words, which classes a fold does not train on and which are tested in no fold.

    Classes that no fold tests or trains on are named once, not for each modality.

    Args:
        split: what `assign` returns.
        samples: columns sample, label and modality of the samples in it.
        classes: the class names in the order of their codes.
    """
    rows = split.merge(samples[["sample", "label", "modality"]], on="sample")

    def missing(own: pd.DataFrame, among: Iterable[str]) -> list[str]:
        found = set(own["label"])
        return [name for label, name in enumerate(classes) if label not in found and name in among]

    trained, tested = (rows[rows["part"] == part] for part in ("train", "test"))
    lacking = {"train of every fold": missing(trained, classes), "test of every fold": missing(tested, classes)}
    somewhere = [name for name in classes if name not in lacking["train of every fold"]]
    for (modality, fold), own in trained.groupby(["modality", "fold"], sort=False):
        kind = f"train of fold {fold}" + (f" ({modality})" if rows["modality"].nunique() > 1 else "")
        lacking[kind] = missing(own, somewhere)
    return [f"{', '.join(names)} in {where}" for where, names in lacking.items() if names]


def require_every_part(split: pd.DataFrame, names: list[str], protocol: str) -> None:
    """Raise a `FerError` unless every fold has samples to train, to validate and to test."""
    found = set(map(tuple, split[["fold", "part"]].drop_duplicates().to_numpy()))
    for fold in names:
        missing = [part for part in PARTS if (fold, part) not in found]
        if missing:
            raise FerError(
                f"protocol {protocol!r}, fold {fold}: no samples for {', '.join(missing)}. "
                "Is the source complete? (FER2013's train.csv, for example, holds only the Training images.)"
            )
