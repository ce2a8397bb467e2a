"""The page of a leakage audit: the numbers, and duplicates side by side to judge them by eye."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from fer.faces import crops
from fer.folds import PARTS
from fer.leakage import BOUNDARIES, GROUPS, remaining
from fer.params import Dataset
from fer.reporting.rendering import render
from fer.storage import read_originals

SHOWN = 60  # pairs of a category, and blank images
FOLDS_SHOWN = 10  # rows of the table of numbers; beyond, the totals alone
SIDE = 96  # pixels, the longest side of a picture
NAMES = {"train-test": "train and test", "val-test": "validation and test", "train-val": "train and validation"}


def page(found: dict, dataset: Dataset, samples: pd.DataFrame, pairs: pd.DataFrame, raw: Path) -> str:
    """Return the audit as one self-contained HTML page.

    Args:
        found: what `fer.leakage.audit_split` returned, with protocol, seed, parameters, synthetic and, where duplicates
            were removed, removed, dropped and kept.
        dataset: the dataset's parameters.
        samples: columns sample, label, blank.
        pairs: what `fer.leakage.crossings` returned.
        raw: the originals.
    """
    labels = samples.set_index("sample")["label"]
    pairs = pairs.assign(
        first_class=[dataset.classes[label] for label in labels.loc[pairs["first"]]],
        second_class=[dataset.classes[label] for label in labels.loc[pairs["second"]]],
    )
    sections = [section for section in categories(pairs) if section["count"]]
    blank = sorted(samples.loc[samples["blank"], "sample"])
    shown = {sample for section in sections for pair in section["pairs"] for sample in (pair["first"], pair["second"])}
    pictured = np.array(sorted(shown | set(blank[:SHOWN])), np.int64)
    content = {
        "found": found,
        "dataset": dataset,
        "contradicted": contradicted(pairs),
        "remedy": remaining(found)[0] if "removed" in found else "",
        "sections": sections,
        "blank": blank,
        "labels": labels,
        "pictures": {sample: data_uri(image) for sample, image in read_originals(raw, pictured)},
        "names": NAMES,
        "boundaries": [boundary for boundary in NAMES if boundary in BOUNDARIES],
        "groups": GROUPS,
        "parts": PARTS,
        "shown": SHOWN,
        "first_folds": list(found["folds"].items())[:FOLDS_SHOWN],
        "several": len(found["folds"]) > 1,
        "length": len,  # a fold lists what the totals only count
        "identity": int,
    }
    return render("leakage.html.j2", content)


def categories(pairs: pd.DataFrame) -> list[dict]:
    """Return the sections of pictures: title, remark, number of pairs, and the pairs that are shown.

    Near duplicates come least alike first, since those are the ones to doubt.
    """
    least_alike = pairs.sort_values(["likeness", "correlation", "first", "second"])
    exact, disagree = least_alike["exact"], least_alike["first_class"] != least_alike["second_class"]
    found = []
    for boundary, name in NAMES.items():
        inside = least_alike["boundary"] == boundary
        found.append(section(f"{name}: the same pixels", least_alike[inside & exact]))
        found.append(section(f"{name}: nearly the same picture", least_alike[inside & ~exact], doubtful=True))
    anywhere = disagree & (least_alike["boundary"] != "")
    found.append(section("the same pixels, different labels", least_alike[anywhere & exact]))
    found.append(section("nearly the same picture, different labels", least_alike[anywhere & ~exact], doubtful=True))
    return found


def contradicted(pairs: pd.DataFrame) -> list[tuple[int, str, list[str]]]:
    """Return (sample, class, classes of its duplicates) of every sample that has a duplicate of another class."""
    differ = pairs[(pairs["first_class"] != pairs["second_class"]) & (pairs["boundary"] != "")]
    own: dict[int, str] = {}
    others: dict[int, set[str]] = {}
    for row in differ.itertuples():
        for sample, label, other in (
            (row.first, row.first_class, row.second_class),
            (row.second, row.second_class, row.first_class),
        ):
            own[sample] = label
            others.setdefault(sample, set()).add(other)
    return [(sample, own[sample], sorted(others[sample])) for sample in sorted(own)]


def section(title: str, pairs: pd.DataFrame, doubtful: bool = False) -> dict:
    """Return a list of pairs as the page shows it, the first `SHOWN` of them with pictures."""
    return {
        "title": title[0].upper() + title[1:],
        "count": len(pairs),
        "doubtful": doubtful,
        "pairs": pairs.head(SHOWN).to_dict("records"),
    }


def data_uri(image: bytes) -> str:
    """Return an encoded image as a JPEG data URI, no side longer than `SIDE` pixels."""
    pixels = crops.decode(image, 3, "an image of data/raw")
    height, width = pixels.shape[:2]
    scale = min(1, SIDE / max(height, width))
    pixels = crops.resized(pixels, max(1, round(width * scale)), max(1, round(height * scale)))
    encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"
