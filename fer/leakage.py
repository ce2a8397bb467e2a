"""The leakage audit: what the parts of a split have in common and should not.

The duplicates of the dataset (`fer.duplicates`) are compared fold by fold, and so are its subjects, sequences and
pairs. Blank images are listed on their own.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from fer.folds import PARTS
from fer.wording import counted

BOUNDARIES = ("train-val", "train-test", "val-test")
GROUPS = ("subject", "sequence", "pair")


def audit_split(split: pd.DataFrame, samples: pd.DataFrame, pairs: pd.DataFrame) -> dict:
    """Return what the parts of each fold have in common, ready for JSON.

    Args:
        split: columns sample, fold, part, as `fer.protocols.assign` returns them.
        samples: columns sample, label (class code), blank (bool), subject, sequence and pair (str or None).
        pairs: duplicates: columns first, second (samples) and exact (bool; the others are near duplicates), as
            `fer.duplicates.duplicates` returns them.

    Returns:
        `folds`: for each fold
            `samples`: their number in each part;
            `duplicates`: for each two parts and kind (exact, near) the number of `pairs`, and of `samples` of the later
            part; a sample that has both kinds counts as exact;
            `leaked_test`: the test samples with an exact, and with a near duplicate in train;
            `disagreements`: pairs of duplicates with different labels, `within` a part and `across` parts;
            `groups`: the subjects, sequences and pairs on both sides, for each two parts;
            `shared`: those that are in more than one part, each once, and `known`, how many there are;
            `blank`: the blank images of each part.
        `totals`: the same as numbers, summed over the folds;
        `contradicted`: the samples with an exact, and with a near duplicate that has another label; one with both kinds
            counts as exact.

    Examples:
        Sample 1, in test, shows the person of sample 0, in train, and is a copy of it:

        >>> split = pd.DataFrame({"sample": [0, 1, 2], "fold": "0", "part": ["train", "test", "val"]})
        >>> samples = pd.DataFrame({"sample": [0, 1, 2], "label": [0, 0, 1], "blank": False})
        >>> samples = samples.assign(subject=["KA", "KA", "KL"], sequence=None, pair=None)
        >>> found = audit_split(split, samples, pd.DataFrame({"first": [0], "second": [1], "exact": [True]}))
        >>> leaked_test(found["folds"]["0"])
        [1]
        >>> found["folds"]["0"]["shared"]["subject"]
        ['KA']
    """
    samples = samples.set_index("sample")
    labels = samples["label"]
    disagree = labels.loc[pairs["first"]].to_numpy() != labels.loc[pairs["second"]].to_numpy()
    folds = {}
    for fold, rows in split.groupby("fold", sort=False):
        parts = parts_of(rows, pairs)
        members = {part: samples.loc[rows.loc[rows["part"] == part, "sample"]] for part in PARTS}
        folds[str(fold)] = {
            "samples": {part: len(members[part]) for part in PARTS},
            "duplicates": {boundary: across(pairs, parts, boundary)[0] for boundary in BOUNDARIES},
            "leaked_test": across(pairs, parts, "train-test")[1],
            "disagreements": {
                where: {kind: int((mask & disagree & is_kind).sum()) for kind, is_kind in kinds(pairs).items()}
                for where, mask in {
                    "within": (parts[0] == parts[1]) & (parts[0] >= 0),
                    "across": (parts[0] != parts[1]) & (parts >= 0).all(0),
                }.items()
            },
            "groups": {
                key: {
                    boundary: shared(*(members[part][key] for part in boundary.split("-"))) for boundary in BOUNDARIES
                }
                for key in GROUPS
            },
            "shared": {key: in_several(members, key) for key in GROUPS},
            "known": {key: int(samples.loc[rows["sample"], key].nunique()) for key in GROUPS},
            "blank": {part: sorted(map(int, members[part].index[members[part]["blank"]])) for part in PARTS},
        }
    used = pairs[["first", "second"]].isin(set(split["sample"])).all(axis=1)
    return {"folds": folds, "totals": totals(folds), "contradicted": members_of(pairs[used & disagree])}


def parts_of(rows: pd.DataFrame, pairs: pd.DataFrame) -> np.ndarray:
    """Return the part of both sides of each pair: int8 (2, pairs), the position in `PARTS`, -1 for none."""
    last = max(rows["sample"].max(), pairs["second"].max() if len(pairs) else 0)
    codes = np.full(last + 1, -1, np.int8)
    codes[rows["sample"]] = rows["part"].map(PARTS.index)
    return codes[pairs[["first", "second"]].to_numpy().T]


def kinds(pairs: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return which of the pairs are exact and which are near duplicates, bool (pairs,) each."""
    exact = pairs["exact"].to_numpy(bool)
    return {"exact": exact, "near": ~exact}


def across(pairs: pd.DataFrame, parts: np.ndarray, boundary: str) -> tuple[dict, dict]:
    """Return the numbers of duplicates across two parts, and the samples of the later part that have one."""
    earlier, later = map(PARTS.index, boundary.split("-"))
    forwards, backwards = (parts[0] == earlier) & (parts[1] == later), (parts[0] == later) & (parts[1] == earlier)
    numbers, leaked, known = {}, {}, np.zeros(0, np.int32)
    for kind, is_kind in kinds(pairs).items():
        own = np.union1d(pairs["second"][forwards & is_kind], pairs["first"][backwards & is_kind])
        own = np.setdiff1d(own, known)
        known = np.union1d(known, own)
        numbers[kind] = {"pairs": int(((forwards | backwards) & is_kind).sum()), "samples": len(own)}
        leaked[kind] = own.astype(int).tolist()
    return numbers, leaked


def leaked_test(fold: dict) -> list[int]:
    """Return the test samples of one fold of an audit that have an exact or near duplicate in train."""
    return sorted({*fold["leaked_test"]["exact"], *fold["leaked_test"]["near"]})


def leaked(audit: dict) -> list[int]:
    """Return the test samples of all folds of an audit that have a duplicate in train of their fold."""
    return [sample for fold in audit["folds"].values() for sample in leaked_test(fold)]


def shared(one: pd.Series, other: pd.Series) -> list[str]:
    """Return the names that both columns hold, sorted; missing ones do not count."""
    return sorted(set(one.dropna()) & set(other.dropna()))


def in_several(members: dict[str, pd.DataFrame], key: str) -> list[str]:
    """Return the subjects, sequences or pairs that are in more than one part."""
    names = pd.concat([pd.Series(own[key].dropna().unique(), dtype="string") for own in members.values()])
    return sorted(names[names.duplicated()].unique())


def members_of(pairs: pd.DataFrame) -> dict[str, list[int]]:
    """Return the samples of the exact pairs, and those that are only in near pairs."""
    exact = pairs["exact"].to_numpy(bool)
    equal, near = (np.unique(pairs.loc[rows, ["first", "second"]]) for rows in (exact, ~exact))
    return {"exact": equal.astype(int).tolist(), "near": np.setdiff1d(near, equal).astype(int).tolist()}


def totals(folds: dict[str, dict]) -> dict:
    """Sum what the folds report, lists by their length."""

    def total(items: list) -> dict | int:
        if isinstance(items[0], dict):
            return {key: total([item[key] for item in items]) for key in items[0]}
        return sum(len(item) if isinstance(item, list) else item for item in items)

    return total(list(folds.values()))


def leaks(total: dict, keys: tuple[str, ...] = GROUPS) -> list[str]:
    """Return in words what crosses from part to part (`totals` of an audit); an empty list says that nothing does.

    Args:
        keys: the groups that are looked at.
    """
    lines = []
    for boundary, numbers in total["duplicates"].items():
        found = {kind: numbers[kind]["samples"] for kind in ("exact", "near") if numbers[kind]["samples"]}
        if found:
            earlier, later = boundary.split("-")
            noun = "duplicate" if sum(found.values()) == 1 else "duplicates"
            words = " and ".join(f"{count:,} {kind}" for kind, count in found.items())
            lines.append(f"{words} {noun} of {earlier} among {total['samples'][later]:,} {later}")
    for key in keys:
        for boundary, count in total["groups"][key].items():
            if count:
                lines.append(f"{counted(count, key)} in both {boundary.replace('-', ' and ')}")
    return lines


def forbidden(total: dict, protocol: str) -> list[str]:
    """Return the leaks a protocol may not have: the stratified ones have subjects on both sides by nature."""
    return leaks(total, GROUPS[1:] if protocol.startswith("stratified") else GROUPS)


def remaining(found: dict) -> list[str]:
    """Return in words what the split that trains still leaks, and what was removed from it (see `fer.stages.split`)."""
    if "kept" not in found:
        return leaks(found["totals"])
    counts = {part: sum(len(fold.get(part, [])) for fold in found["removed"].values()) for part in ("train", "val")}
    lost = list(found["dropped"].values())
    shares = {name: np.sum([fold[name] for fold in lost], 0) for name in lost[0]}
    removed = f"{counted(counts['train'], 'duplicate')} removed from train"
    if counts["train"]:
        removed += f" ({in_words(shares)})"
    return [f"{removed}, {counts['val']:,} from val", *leaks(found["kept"])]


def dropped(split: pd.DataFrame, gone: pd.DataFrame, labels: pd.Series, classes: list[str]) -> dict[str, dict]:
    """Return, for each fold and class, how many train samples are `gone` and how many there were."""
    found = {}
    for fold, rows in split.groupby("fold", sort=False):
        train = rows[rows["part"] == "train"]
        taken = train["sample"].isin(gone.loc[gone["fold"] == fold, "sample"])
        counts = [
            np.bincount(labels.loc[own["sample"]], minlength=len(classes)).tolist() for own in (train[taken], train)
        ]
        found[str(fold)] = dict(zip(classes, zip(*counts, strict=True), strict=True))
    return found


def in_words(shares: dict[str, tuple[int, int]]) -> str:
    """Return "3 of 10 (30.0 %): angry 2 of 4 (50.0 %), sad 1 of 6 (16.7 %)"; classes without a loss are left out."""
    of_classes = ", ".join(f"{name} {share(*counts)}" for name, counts in shares.items() if counts[0])
    return f"{share(*np.sum(list(shares.values()), 0))}: {of_classes}"


def share(part: int, whole: int) -> str:
    """Return a count beside its total, such as "3 of 10 (30.0 %)"."""
    return f"{part:,} of {whole:,} ({100 * part / max(whole, 1):.1f} %)"


def excessive(lost: dict[str, dict], kept: pd.DataFrame, most: float) -> str:
    """Return in words why the remedy takes too much, for the fold in which it takes most; "" if it does not.

    Args:
        lost: what `dropped` returned.
        kept: columns fold and part: what is left of the split.
        most: the share of train, and of each class in it, that may go.
    """
    emptied = {fold: set(PARTS) - set(kept.loc[kept["fold"] == fold, "part"]) for fold in lost}
    for fold, parts in emptied.items():
        if parts:
            return f"fold {fold}: without its duplicates {' and '.join(sorted(parts))} is empty"
    largest = {}
    for fold, shares in lost.items():
        counts = [*shares.values(), np.sum(list(shares.values()), 0)]
        largest[fold] = max(gone / max(whole, 1) for gone, whole in counts)
    worst = max(largest, key=largest.get)
    if largest[worst] <= most:
        return ""
    return (
        f"fold {worst}: removing the duplicates would take {in_words(lost[worst])} of the training images, and "
        f"at most {100 * most:g} % of them or of a class may be removed"
    )


def removals(split: pd.DataFrame, samples: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `split` that must go so that no duplicate crosses its parts.

    Test stays as it is. A val sample goes if it duplicates one of test, a train sample if it duplicates one of test or
    of what is left of val; its partner, visible or infrared, goes with it.
    """
    partner = samples.set_index("sample")["pair"]
    gone = []
    for _, rows in split.groupby("fold", sort=False):
        for part, others in (("val", ("test",)), ("train", ("val", "test"))):
            stay = rows.loc[rows["part"].isin(others), "sample"]
            own = rows[rows["part"] == part]
            pair = own["sample"].map(partner)
            leaking = own["sample"].isin(pairs["first"][pairs["second"].isin(stay)])
            leaking |= own["sample"].isin(pairs["second"][pairs["first"].isin(stay)])
            own = own[leaking | pair.isin(pair[leaking].dropna())]
            rows = rows.drop(own.index)
            gone.append(own)
    return pd.concat(gone)


def crossings(split: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return which two parts each pair joins in the worst case, and in which fold.

    Returns:
        `pairs` with the columns boundary ("train-test" before "val-test" before "train-val"; "within" where both are
        always in the same part; "" where one is in none), and of the first fold in which that is so: fold, first_part
        and second_part.
    """
    ranks = np.array(["", "within", "train-val", "val-test", "train-test"], object)
    worst = np.zeros(len(pairs), np.int8)
    fold_of = np.full(len(pairs), "", object)
    part_of = np.full((2, len(pairs)), -1, np.int8)
    for fold, rows in split.groupby("fold", sort=False):
        parts = parts_of(rows, pairs)
        low, high = np.sort(parts, axis=0)
        rank = np.select(
            [low < 0, low == high, (low == 0) & (high == 1), (low == 1) & (high == 2)], [0, 1, 2, 3], default=4
        )
        worse = rank > worst
        worst[worse], fold_of[worse], part_of[:, worse] = rank[worse], fold, parts[:, worse]
    names = np.array([*PARTS, ""], object)  # -1 is the last
    return pairs.assign(
        boundary=ranks[worst], fold=fold_of, first_part=names[part_of[0]], second_part=names[part_of[1]]
    )
