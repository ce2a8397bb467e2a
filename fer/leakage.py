"""The leakage audit: what the parts of a split have in common and should not.

Duplicates are looked for once in the whole dataset and then looked at fold by fold:

- exact: the decoded pixels are equal (column `pixels` of faces, a SHA-256);
- near: the perceptual hashes differ in few bits (column `phash`; Zauner, Implementation and Benchmarking of Perceptual
  Image Hash Functions, 2010) *and* the 32×32 grey thumbnails correlate (Pearson): the hash proposes, pixels confirm.

Near duplicates are looked for among visible images only: so small, the infrared faces of different people are alike,
and a pair is judged by its visible image anyway. Blank images, one constant value, show nothing that could leak: they
are listed on their own and are nobody's duplicate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from fer.errors import FerError
from fer.faces import crops
from fer.parallel import workers
from fer.params import Audit
from fer.protocols import PARTS
from fer.storage import checked, open_parquet

BOUNDARIES = ("train-val", "train-test", "val-test")
GROUPS = ("subject", "sequence", "pair")
THUMBNAIL = 32  # side, pixels
TILE = 1 << 20  # pairs of hashes compared at a time: 8 MB, so memory stays flat and the cache warm
PAIRS_AT_A_TIME = 1 << 14  # whose thumbnails are correlated
MOST_PAIRS = 20_000_000  # held at most, some 500 MB; beyond, the criterion tells nothing apart
BATCH = 256  # originals in memory


# --- duplicates of a dataset -----------------------------------------------------------------------------------------


def duplicates(samples: pd.DataFrame, raw: Path, audit: Audit) -> pd.DataFrame:
    """Return every pair of duplicates, whatever their parts.

    Args:
        samples: columns sample, modality, pixels (hex digest), phash (uint64), blank (bool).
        raw: the originals; a sample is the row of its number.
        audit: the thresholds.

    Returns:
        One row a pair, sorted: first < second (int32 samples), exact (bool), distance (uint8, differing bits),
        correlation (float32, -1 to 1; 1 for exact duplicates).

    Raises:
        FerError: so many images are alike that the pairs cannot be held.
    """
    seen = samples[~samples["blank"]].sort_values("sample", ignore_index=True)
    pixels = pd.factorize(seen["pixels"])[0]
    exact = equal_pixels(pixels)
    visible = np.flatnonzero(seen["modality"] == "visible").astype(np.int32)
    first, second, distance = close_hashes(seen["phash"].to_numpy(np.uint64)[visible], audit.distance)
    first, second = visible[first], visible[second]
    differ = pixels[first] != pixels[second]
    number = seen["sample"].to_numpy(np.int32)
    near = pair_table(number[first[differ]], number[second[differ]], distance[differ])
    near["correlation"] = correlations(raw, near["first"].to_numpy(), near["second"].to_numpy())
    near = near[near["correlation"] >= audit.correlation]
    equal = pair_table(number[exact[0]], number[exact[1]], 0).assign(exact=True)
    return pd.concat([equal, near]).sort_values(["first", "second"], ignore_index=True)


def pair_table(first: np.ndarray, second: np.ndarray, distance: np.ndarray | int) -> pd.DataFrame:
    table = pd.DataFrame({"first": first, "second": second, "exact": False, "distance": distance, "correlation": 1.0})
    return table.astype({"first": "int32", "second": "int32", "distance": "uint8", "correlation": "float32"})


def equal_pixels(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of positions, first < second, at which `pixels` (int) are equal."""
    repeats = np.bincount(pixels).astype(np.int64) if len(pixels) else np.zeros(0, np.int64)
    require_memory(int((repeats * (repeats - 1) // 2).sum()), "have the very same pixels")
    order = np.argsort(pixels, kind="stable")
    first, second = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for same in np.split(order, np.cumsum(repeats)[:-1]) if len(pixels) else ():
        if len(same) > 1:
            upper = np.triu_indices(len(same), 1)
            first.append(same[upper[0]])
            second.append(same[upper[1]])
    return np.concatenate(first), np.concatenate(second)


def close_hashes(hashes: np.ndarray, distance: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of `hashes` (uint64) that differ in at most `distance` bits.

    Returns:
        Positions first < second (int32), and the number of differing bits (uint8), each of shape (pairs,).
    """
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = [(np.zeros(0, np.int32),) * 2 + (np.zeros(0, np.uint8),)]
    count, start = 0, 0
    while start < len(hashes):
        others = len(hashes) - start
        rows = max(1, TILE // others)
        differing = np.bitwise_count(hashes[start : start + rows, None] ^ hashes[None, start:])
        first, second = np.divmod(np.flatnonzero(differing <= distance), others)
        ahead = second > first
        first, second = first[ahead], second[ahead]
        found.append(((first + start).astype(np.int32), (second + start).astype(np.int32), differing[first, second]))
        count += len(first)
        require_memory(count, f"have perceptual hashes within {distance} bits")
        start += rows
    first, second, bits = map(np.concatenate, zip(*found, strict=True))
    return first, second, bits


def require_memory(pairs: int, what: str) -> None:
    if pairs > MOST_PAIRS:
        raise FerError(
            f"more than {MOST_PAIRS:,} pairs of images {what}: these images are too much alike to be told apart so. "
            "Lower audit.distance in the dataset's parameter file, or look at what the source holds."
        )


def correlations(raw: Path, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of the thumbnails of each pair of samples (float32); 0 where one is constant."""
    wanted = np.union1d(first, second)
    thumbnails = np.empty((len(wanted), THUMBNAIL * THUMBNAIL), np.uint8)
    with ThreadPoolExecutor(workers()) as pool:
        for start, images in read_originals(raw, wanted):
            thumbnails[start : start + len(images)] = list(pool.map(thumbnail, images))
    result = np.empty(len(first), np.float32)
    for start in range(0, len(first), PAIRS_AT_A_TIME):
        pairs = slice(start, start + PAIRS_AT_A_TIME)
        one, other = (standardised(thumbnails[np.searchsorted(wanted, side[pairs])]) for side in (first, second))
        result[pairs] = np.einsum("ij,ij->i", one, other)
    return result


def standardised(vectors: np.ndarray) -> np.ndarray:
    """Return the vectors (n, d) with mean 0 and length 1, constant ones as zeros: products are then correlations."""
    centred = vectors - vectors.mean(1, dtype=np.float32, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)


def thumbnail(image: bytes) -> np.ndarray:
    """Return an encoded image as 1,024 grey values (uint8)."""
    return crops.resized(crops.decode(image, 1, "an image of data/raw"), THUMBNAIL, THUMBNAIL).ravel()


def read_originals(raw: Path, samples: np.ndarray) -> Iterator[tuple[int, list[bytes]]]:
    """Yield (position in `samples`, encoded images from there on) for the sorted `samples`, a few at a time.

    Row groups of the file without any of them are not read.
    """
    file, row = open_parquet(raw), 0
    for group in range(file.num_row_groups):
        end = row + file.metadata.row_group(group).num_rows
        if np.searchsorted(samples, row) < np.searchsorted(samples, end):
            for batch in checked(file.iter_batches(BATCH, row_groups=[group], columns=["image"]), raw):
                start, stop = np.searchsorted(samples, (row, row + len(batch)))
                if start < stop:
                    yield start, batch.column("image").take(samples[start:stop] - row).to_pylist()
                row += len(batch)
        row = end


# --- folds -----------------------------------------------------------------------------------------------------------


def audit_split(split: pd.DataFrame, samples: pd.DataFrame, pairs: pd.DataFrame) -> dict:
    """Return what the parts of each fold have in common, ready for JSON.

    Args:
        split: columns sample, fold, part.
        samples: columns sample, label, blank, subject, sequence, pair.
        pairs: what `duplicates` returned.

    Returns:
        `folds`: for each fold
            `samples`: their number in each part;
            `duplicates`: for each two parts and kind (exact, near) the number of `pairs`, and of `samples` of the later
            part; a sample that has both kinds counts as exact;
            `leaked_test`: the test samples with an exact, and with a near duplicate in train;
            `disagreements`: pairs of duplicates with different labels, `within` a part and `across` parts;
            `groups`: the subjects, sequences and pairs on both sides, for each two parts;
            `blank`: the blank images of each part.
        `totals`: the same as numbers, summed over the folds.
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
            "blank": {part: sorted(map(int, members[part].index[members[part]["blank"]])) for part in PARTS},
        }
    return {"folds": folds, "totals": totals(folds)}


def parts_of(rows: pd.DataFrame, pairs: pd.DataFrame) -> np.ndarray:
    """Return the part of both sides of each pair: int8 (2, pairs), the position in `PARTS`, -1 for none."""
    last = max(rows["sample"].max(), pairs["second"].max() if len(pairs) else 0)
    codes = np.full(last + 1, -1, np.int8)
    codes[rows["sample"]] = rows["part"].map(PARTS.index)
    return codes[pairs[["first", "second"]].to_numpy().T]


def kinds(pairs: pd.DataFrame) -> dict[str, np.ndarray]:
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


def shared(one: pd.Series, other: pd.Series) -> list[str]:
    return sorted(set(one.dropna()) & set(other.dropna()))


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
        counts = [f"{numbers[kind]['samples']:,} {kind}" for kind in ("exact", "near") if numbers[kind]["samples"]]
        if counts:
            earlier, later = boundary.split("-")
            lines.append(f"{' and '.join(counts)} duplicates of {earlier} among {total['samples'][later]:,} {later}")
    for key in keys:
        for boundary, count in total["groups"][key].items():
            if count:
                lines.append(f"{count:,} {key}s in both {boundary.replace('-', ' and ')}")
    return lines


def forbidden(total: dict, protocol: str) -> list[str]:
    """Return the leaks a protocol may not have: the stratified ones have subjects on both sides by nature."""
    return leaks(total, GROUPS[1:] if protocol.startswith("stratified") else GROUPS)


def remaining(found: dict) -> list[str]:
    """Return in words what the split that trains still leaks, and what was removed from it (see `fer.stages.split`)."""
    if "kept" not in found:
        return leaks(found["totals"])
    counts = {part: sum(len(fold.get(part, [])) for fold in found["removed"].values()) for part in ("train", "val")}
    removed = f"{counts['train']:,} duplicates removed from train, {counts['val']:,} from val"
    return [removed, *leaks(found["kept"])]


def removals(split: pd.DataFrame, samples: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `split` that must go so that no duplicate crosses its parts.

    Test stays as it is. A val sample goes if it duplicates one of test, a train sample if it duplicates one of test or
    of what is left of val; with a sample goes its partner, visible or infrared.
    """
    partner = samples.set_index("sample")["pair"]
    gone = []
    for fold, rows in split.groupby("fold", sort=False):
        for part, others in (("val", ("test",)), ("train", ("val", "test"))):
            stay = rows.loc[rows["part"].isin(others), "sample"]
            own = rows[rows["part"] == part]
            pair = own["sample"].map(partner)
            leaking = own["sample"].isin(pairs["first"][pairs["second"].isin(stay)])
            leaking |= own["sample"].isin(pairs["second"][pairs["first"].isin(stay)])
            own = own[leaking | pair.isin(pair[leaking].dropna())]
            rows = rows.drop(own.index)
            gone.append(own)
        if set(rows["part"]) != set(PARTS):
            raise FerError(
                f"fold {fold}: without its duplicates {' and '.join(sorted(set(PARTS) - set(rows['part'])))} is empty. "
                "Lower audit.distance or raise audit.correlation, or take a protocol by subject."
            )
    return pd.concat(gone)


def crossings(split: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Say of each pair which two parts it joins in the worst case, and in which fold.

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


def augmented_strays(train: Iterable[int], sources: Iterable[int]) -> list[int]:
    """Return, sorted, the sources of offline-augmented copies that are not among the train samples: each is a leak."""
    return sorted(set(map(int, sources)) - set(map(int, train)))
