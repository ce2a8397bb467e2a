"""The duplicates of a dataset, looked for once, whatever parts they fall into.

- exact: the decoded pixels are equal (column `pixels` of faces, a SHA-256);
- near: the perceptual hashes differ in few bits (column `phash`; Zauner, Implementation and Benchmarking of Perceptual
  Image Hash Functions, 2010) and the 32×32 grey thumbnails correlate (Pearson), which proposes a pair; *and* the detail
  of the two faces correlates once they are registered (`fer.faces.likeness`), which confirms it. Under one light,
  before one background, other expressions of a person pass the first two tests and fail the third.

Near duplicates are looked for only among visible images: at this size the infrared faces of different people look
alike, and a pair is judged by its visible image anyway. Blank images, one constant value, show nothing that could leak
and are nobody's duplicate.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
import pandas as pd

from fer.errors import FerError
from fer.faces import crops, likeness
from fer.parallel import workers
from fer.params import Dataset
from fer.storage import ORIGINALS, batched, read_array, read_originals, read_rows

THUMBNAIL = 32  # side, pixels
TILE = 1 << 20  # pairs of hashes compared at a time: 8 MB, so memory stays flat and the cache warm
PAIRS_AT_A_TIME = 1 << 14  # whose thumbnails are correlated
FACES_AT_A_TIME = 1 << 10  # pairs whose faces are compared: 19 MB
MOST_PAIRS = 20_000_000  # held at most, some 500 MB; beyond, the criterion tells nothing apart


def duplicates(samples: pd.DataFrame, raw: Path, faces: Path, crops_file: Path, dataset: Dataset) -> pd.DataFrame:
    """Return every pair of duplicates, whatever their parts.

    Args:
        samples: columns sample, modality, detected (bool), pixels (hex digest), phash (uint64), blank (bool).
        raw, faces, crops_file: the originals, what align found in them, and its crops; a sample is the row of its
            number.
        dataset: its `audit` holds the thresholds, its `alignment` says how the crops were made.

    Returns:
        One row per pair, sorted: first < second (int32 samples), exact (bool), distance (uint8, differing bits),
        correlation and likeness (float32, -1 to 1, of the thumbnails and of the faces' detail; 1 for exact duplicates).

    Raises:
        FerError: so many images are alike that the pairs do not fit in memory.
    """
    audit = dataset.audit
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
    near = near[near["correlation"] >= audit.correlation].reset_index(drop=True)
    near["likeness"] = likenesses(near, seen[["sample", "detected"]], raw, faces, crops_file, dataset)
    near = near[near["likeness"] >= audit.likeness]
    equal = pair_table(number[exact[0]], number[exact[1]], 0).assign(exact=True)
    return pd.concat([equal, near]).sort_values(["first", "second"], ignore_index=True)


def pair_table(first: np.ndarray, second: np.ndarray, distance: np.ndarray | int) -> pd.DataFrame:
    """Return near duplicates as a table with the dtypes of `duplicates`; correlation and likeness are 1 at first."""
    table = pd.DataFrame({"first": first, "second": second, "exact": False, "distance": distance})
    table = table.assign(correlation=1.0, likeness=1.0)
    kinds = {"first": "int32", "second": "int32", "distance": "uint8", "correlation": "float32", "likeness": "float32"}
    return table.astype(kinds)


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
    """Refuse more pairs than fit in memory; `what` says in words how the images are alike."""
    if pairs > MOST_PAIRS:
        raise FerError(
            f"more than {MOST_PAIRS:,} pairs of images {what}: these images are too similar for this criterion. "
            "Lower audit.distance in the dataset's parameter file, or check the source."
        )


def correlations(raw: Path, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of the thumbnails of each pair of samples (float32); 0 where one is constant."""
    wanted = np.union1d(first, second)
    thumbnails = np.empty((len(wanted), THUMBNAIL * THUMBNAIL), np.uint8)
    done = 0
    with ThreadPoolExecutor(workers()) as pool:
        for some in batched(read_originals(raw, wanted), ORIGINALS):
            thumbnails[done : done + len(some)] = list(pool.map(thumbnail, (image for _, image in some)))
            done += len(some)
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


# --- the faces of a pair ---------------------------------------------------------------------------------------------


def likenesses(
    pairs: pd.DataFrame, detected: pd.DataFrame, raw: Path, faces: Path, crops_file: Path, dataset: Dataset
) -> np.ndarray:
    """Return how alike the faces of each pair are in detail (float32, -1 to 1; see `fer.faces.likeness`).

    The crops are compared. If they were cut by landmarks and only one image of a pair has any, the other one is cut by
    the first one's: the whole pictures nearly coincide.
    """
    by_landmarks = dataset.alignment.crop == "similarity"
    has_face = detected.set_index("sample")["detected"]
    one, other = (has_face.loc[pairs[side]].to_numpy(bool) for side in ("first", "second"))
    uneven = (one != other) & by_landmarks
    found = np.empty(len(pairs), np.float32)
    even = pairs[~uneven]
    found[~uneven] = of_crops(even["first"].to_numpy(), even["second"].to_numpy(), crops_file, dataset)
    known = pairs["first"].where(one, pairs["second"])[uneven].to_numpy()
    unknown = pairs["second"].where(one, pairs["first"])[uneven].to_numpy()
    found[uneven] = with_borrowed_landmarks(known, unknown, raw, faces, crops_file, dataset)
    return found


def of_crops(first: np.ndarray, second: np.ndarray, crops_file: Path, dataset: Dataset) -> np.ndarray:
    """Return the likeness of the crops of each pair of samples (float32)."""
    cut = read_array(crops_file)
    room = likeness.ROOM if dataset.alignment.crop == "similarity" else 0
    found = [np.zeros(0, np.float32)]
    with ThreadPoolExecutor(workers()) as pool:
        for start in range(0, len(first), FACES_AT_A_TIME):
            sides = [side[start : start + FACES_AT_A_TIME] for side in (first, second)]
            pictures = {sample: likeness.picture(cut[sample], room) for sample in np.union1d(*sides)}
            one, other = ([pictures[sample] for sample in side] for side in sides)
            compared = pool.map(likeness.likeness, one, other, repeat(dataset.audit.likeness))
            found.append(np.fromiter(compared, np.float32, len(one)))
    return np.concatenate(found)


def with_borrowed_landmarks(
    known: np.ndarray, unknown: np.ndarray, raw: Path, faces: Path, crops_file: Path, dataset: Dataset
) -> np.ndarray:
    """Return the likeness of pairs of which `known` has landmarks and `unknown` is cut by the same (float32)."""
    wanted = set(known.tolist()) | set(unknown.tolist())
    rows = enumerate(read_rows(faces, ["landmarks", "height", "width"]) if wanted else ())
    frames = {sample: row for sample, row in rows if sample in wanted}
    cut, alignment = read_array(crops_file), dataset.alignment
    found = np.empty(len(known), np.float32)
    for sample, image in read_originals(raw, np.unique(unknown)):
        pixels = crops.decode(image, 1, "an image of data/raw")
        for pair in np.flatnonzero(unknown == sample):
            frame = frames[known[pair]]
            scale = np.array(pixels.shape[::-1]) / (frame["width"], frame["height"])
            points = np.reshape(frame["landmarks"], (-1, 2)) * scale
            borrowed = crops.similarity(pixels, points, alignment.size)
            sides = (likeness.picture(crop, likeness.ROOM) for crop in (cut[known[pair]], borrowed))
            found[pair] = likeness.likeness(*sides, dataset.audit.likeness)
    return found
