"""What the report says of a dataset, as stages index, align and split left it."""

from __future__ import annotations

import pandas as pd

from fer import leakage, params
from fer.folds import PARTS, WHOLE
from fer.layout import Layout
from fer.reporting.tables import cells
from fer.storage import read_json


def of_dataset(layout: Layout, name: str, protocols: list[str]) -> dict:
    """Return what a page shows of a dataset, ready for JSON: counts, detections and the leaks of its splits."""
    dataset, found = params.load_dataset(name), read_json(layout.counts(name))
    known = [f"{found[kind]:,} {kind}" for kind in ("subjects", "sequences", "pairs") if found[kind]]
    return {
        "name": name,
        "title": dataset.title,
        "citation": dataset.citation,
        "synthetic": found["synthetic"],
        "kinds": ", ".join(known) or "subjects are not known",
        "counts": cells(counts(found)),
        "left_out": found["left_out"],
        "detector": dataset.alignment.detector,
        "missing": dataset.alignment.missing,
        "detections": cells(detections(read_json(layout.faces_counts(name)))),
        "splits": [
            {
                "protocol": protocol,
                "leaks": leakage.remaining(read_json(layout.audit(name, protocol))),
                "page": str(layout.audit_page(name, protocol).relative_to(layout.reports())),
            }
            for protocol in protocols
        ],
    }


def counts(found: dict) -> pd.DataFrame:
    """Return one row per part: images found in each class, their sum, and the official sum where there is one.

    Args:
        found: what stage index counted.
    """
    rows = []
    for part in [part for part in (*PARTS, WHOLE) if part in found["found"]]:
        own, official = found["found"][part], found["official"].get(part)
        row = {"part": part, **{name: f"{count:,}" for name, count in zip(found["classes"], own, strict=True)}}
        row |= {"sum": f"{sum(own):,}", "official": "–" if official is None else f"{sum(official):,}"}
        rows.append(row | {"missing": "–" if official is None else f"{sum(official) - sum(own):,}"})
    return pd.DataFrame(rows)


def detections(found: dict) -> pd.DataFrame:
    """Return one row per modality: the share of faces found in each class, of all, and how many images are used.

    Args:
        found: what stage align counted.
    """
    rows = []
    for modality, outcomes in found["modalities"].items():
        shares = map(share, outcomes["detected"], outcomes["samples"])
        row = {"modality": modality, **dict(zip(found["classes"], shares, strict=True))}
        row |= {"all": share(sum(outcomes["detected"]), sum(outcomes["samples"]))}
        rows.append(row | {key: f"{sum(outcomes[key]):,}" for key in ("several", "used", "blank")})
    return pd.DataFrame(rows)


def share(part: int, whole: int) -> str:
    """Return a share in percent, such as "98.5 %"; a dash where there is nothing to share."""
    return f"{100 * part / whole:.1f} %" if whole else "–"
