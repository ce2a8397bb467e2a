"""align: from raw to `data/faces/<dataset>.parquet` (detection, landmarks) and `.npy` (the face crops, uint8)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from fer.errors import FerError
from fer.faces import crops, fingerprint, landmarks
from fer.parallel import ordered_map
from fer.params import Alignment, Dataset
from fer.progress import track
from fer.storage import array_writer, open_parquet, read_rows, write_json, write_rows
from fer.wording import counted

SCHEMA = pa.schema(
    [
        ("sample", pa.int32()),
        ("detected", pa.bool_()),  # whether there are landmarks
        ("used", pa.bool_()),  # false: dropped for want of a detection
        ("blank", pa.bool_()),  # one constant value: kept, counted, reported
        ("height", pa.int32()),  # of the original, pixels
        ("width", pa.int32()),
        ("landmarks", pa.list_(pa.float32())),  # 68 × (x, y) in pixels of the original, null without a detection
        ("landmarks_from", pa.string()),  # own, partner (the visible image of the pair), or null
        ("score", pa.float32()),  # the detector's confidence in its own detection
        ("faces", pa.int32()),  # how many faces the detector found where the landmarks come from
        ("pixels", pa.string()),  # SHA-256 of the decoded pixels, shape and dtype
        ("phash", pa.uint64()),  # perceptual hash of the whole image
    ]
)
BATCH = 32  # originals read at once: those of some datasets are large
OUTCOMES = ("detected", "several", "used", "blank")  # counted beside the samples; several: more than one face
ASPECT = 0.01  # relative difference of aspect up to which a pair is taken to be in register


@dataclass(frozen=True)
class Look:
    """What the detector found in one visible original."""

    face: landmarks.Face | None
    size: tuple[int, int]  # height and width in pixels


def align(raw: Path, index: Path, parameters: Dataset, faces: Path, crops_file: Path, counts_file: Path) -> str:
    """Detect, crop and write every original of `raw` in its order; return a line for the terminal.

    `faces` gets a row per sample, `crops_file` the uint8 array (samples, size, size[, 3]), `counts_file` (JSON) what
    was found per class: {"classes": names, "modalities": {modality: {"samples" | "detected" | "several" | "used" |
    "blank": counts}}}.
    An infrared original whose visible partner has the same aspect takes its landmarks: the two are in register.
    """
    alignment = parameters.alignment
    total = open_parquet(raw).metadata.num_rows
    shape = (total, alignment.size, alignment.size) + ((3,) if alignment.channels == 3 else ())
    found, sources = Counter(), Counter()
    looks = look_at_partners(raw, index, alignment)
    with array_writer(crops_file, shape) as writer:

        def rows() -> Iterator[dict]:
            items = (
                original | {"infrared": sample["modality"] == "infrared", "look": looks.get(sample["pair"])}
                for original, sample in originals(raw, index)
            )
            results = ordered_map(partial(face, alignment), items, prepare_detector)
            samples = read_rows(index, ["label", "modality"])
            tracked = track(zip(results, samples, strict=True), total, "align")
            for number, ((row, crop), sample) in enumerate(tracked):
                writer.append(crop)
                true = ["samples", *outcomes(row)]
                found.update((sample["modality"], outcome, sample["label"]) for outcome in true)
                sources[row["landmarks_from"]] += 1
                yield {"sample": number, **row}

        write_rows(faces, SCHEMA, rows())
    counts = tabulate(found, parameters.classes)
    write_json(counts_file, {"classes": parameters.classes, "modalities": counts})
    return summary(counts, total, sources["partner"])


def originals(raw: Path, index: Path) -> Iterator[tuple[dict, dict]]:
    """Yield the row of raw and that of the index of every original, in their order."""
    known = read_rows(index, ["path", "modality", "pair"])
    for original in read_rows(raw, ["path", "image"], BATCH):
        sample = next(known, None)
        if sample is None or sample["path"] != original["path"]:
            raise FerError(f"{index} does not index {raw} (at {original['path']}). Run index again.")
        yield original, sample
    if next(known, None) is not None:
        raise FerError(f"{index} has more rows than {raw}. Run index again.")


def look_at_partners(raw: Path, index: Path, alignment: Alignment) -> dict[str, Look]:
    """Return the detection in the visible original of every pair that has an infrared one, so that it is made once.

    It takes about one kilobyte per pair.
    """
    samples = read_rows(index, ["modality", "pair"], 4096)
    wanted = {sample["pair"] for sample in samples if sample["modality"] == "infrared"} - {None}
    if not wanted:
        return {}
    pairs: list[str] = []

    def visible() -> Iterator[dict]:
        for original, sample in originals(raw, index):
            if sample["modality"] == "visible" and sample["pair"] in wanted:
                pairs.append(sample["pair"])
                yield original

    results = ordered_map(partial(look, alignment), visible(), prepare_detector)
    found = list(track(results, len(wanted), "align: visible partners"))
    repeated = [pair for pair, count in Counter(pairs).items() if count > 1]
    if repeated:
        raise FerError(f"{index}: pair {repeated[0]} has more than one visible image; a pair is two images")
    return dict(zip(pairs, found, strict=True))


def outcomes(row: dict) -> list[str]:
    """Return which OUTCOMES are true of a faces row."""
    holds = row | {"several": row["faces"] > 1}
    return [outcome for outcome in OUTCOMES if holds[outcome]]


def tabulate(found: Counter, classes: list[str]) -> dict[str, dict[str, list[int]]]:
    """Return {modality: {outcome: numbers in class order}}."""
    modalities = sorted({modality for modality, _, _ in found})
    return {
        modality: {
            outcome: [found[modality, outcome, label] for label in range(len(classes))]
            for outcome in ("samples", *OUTCOMES)
        }
        for modality in modalities
    }


def summary(counts: dict[str, dict[str, list[int]]], total: int, from_partner: int) -> str:
    """Return a line for the terminal: faces detected, images with several, dropped and blank ones."""

    def together(outcome: str) -> int:
        return sum(sum(outcomes[outcome]) for outcomes in counts.values())

    parts = [f"{together('detected'):,} of {total:,} faces detected ({together('detected') / total:.1%})"]
    if from_partner:
        parts.append(f"{from_partner:,} of them in the visible partner")
    if together("several"):
        parts.append(f"{counted(together('several'), 'image')} with several faces (the largest clear one is taken)")
    if together("used") < total:
        parts.append(f"{total - together('used'):,} dropped")
    return ", ".join([*parts, counted(together("blank"), "blank image")])


# --- in the workers -------------------------------------------------------------------------------------------------


def prepare_worker() -> None:
    """Keep OpenCV in a worker process to one thread."""
    cv2.setNumThreads(1)


def prepare_detector() -> None:
    """Prepare a worker process for `look`: dlib is imported once, before the first image."""
    prepare_worker()
    import_module("dlib")


def look(alignment: Alignment, original: dict) -> Look:
    """Return what the detector says of one original."""
    image = crops.grey(crops.decode(original["image"], alignment.channels, original["path"]))
    return Look(detect(alignment, image), image.shape)


def detect(alignment: Alignment, grey: np.ndarray) -> landmarks.Face | None:
    """Return the largest clear face of a grey image, uint8 (height, width); None where there is none."""
    return landmarks.find(grey, alignment.enlarge, alignment.padding, alignment.detector)


def face(alignment: Alignment, original: dict) -> tuple[dict, np.ndarray]:
    """Return the faces row (without its number) and the crop of one original."""
    native = crops.native(original["image"], original["path"])
    image = crops.converted(native, alignment.channels)
    grey = crops.grey(image)
    found, source = locate(alignment, grey, original["look"], original["infrared"])
    points = None if found is None else found.landmarks
    if points is None and alignment.missing == "error":
        raise FerError(f"no face detected in {original['path']}; alignment.missing may be full_frame or drop instead")
    if points is not None and alignment.crop == "similarity":
        crop = crops.similarity(image, points, alignment.size)
    else:
        crop = crops.distributed(image, alignment.size)
    row = {
        "detected": points is not None,
        "used": points is not None or alignment.missing == "full_frame",
        "blank": bool(native.min() == native.max()),
        "height": image.shape[0],
        "width": image.shape[1],
        "landmarks": None if points is None else points.ravel().tolist(),
        "landmarks_from": source,
        "score": found.score if source == "own" else None,
        "faces": 0 if found is None else found.faces,
        "pixels": fingerprint.pixels(native),
        "phash": fingerprint.perceptual_hash(grey),
    }
    return row, crop


def locate(
    alignment: Alignment, grey: np.ndarray, look: Look | None, infrared: bool
) -> tuple[landmarks.Face | None, str | None]:
    """Return the face in pixels of the original, and whose it is: "own" or that of the visible "partner".

    `look` is the detection in the visible image of the original's pair, where the pair has an infrared image.
    """
    partner = infrared and alignment.infrared == "partner"
    if partner and look and look.face and in_register(look.size, grey.shape):
        points = landmarks.rescaled(look.face.landmarks, look.size, grey.shape)
        return replace(look.face, landmarks=points), "partner"
    found = look.face if look and not infrared else detect(alignment, grey)
    return found, "own" if found else None


def in_register(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return whether two images of a pair have the same aspect: then one is taken to show the other's scene."""
    (height, width), (other_height, other_width) = size, other
    return abs(width * other_height - height * other_width) <= ASPECT * width * other_height
