"""What a study's datasets hold, from the files that index, align and split left: one `DataSummary` a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from fer import leakage, params
from fer.folds import PARTS, WHOLE
from fer.layout import Layout
from fer.params import Dataset, Study
from fer.runs import study_protocols
from fer.storage import read_json


@dataclass(frozen=True)
class DataSummary:
    """One dataset of a study: what was found, what align made of it, and what leaks in its splits."""

    name: str
    dataset: Dataset
    protocols: list[str]
    layout: Layout

    @property
    def synthetic(self) -> bool:
        """Whether the faces are synthetic."""
        return self.found["synthetic"]

    @cached_property
    def found(self) -> dict:
        """What stage index counted: images by class and part, subjects, sequences, pairs, files left out."""
        return read_json(self.layout.counts(self.name))

    @cached_property
    def faces(self) -> dict[str, dict[str, list[int]]]:
        """{modality: {samples, detected, several, used, blank: one number per class}}."""
        return read_json(self.layout.faces_counts(self.name))["modalities"]

    @cached_property
    def leaks(self) -> dict[str, list[str]]:
        """{protocol: what crosses the parts of its folds, in words; nothing is an empty list}."""
        return {name: leakage.remaining(read_json(self.layout.audit(self.name, name))) for name in self.protocols}

    def sheet(self) -> Path:
        """Return the path of the sheet of sample faces."""
        return self.layout.figure(self.name, "faces")

    def audit_page(self, protocol: str) -> Path:
        """Return the path of the page on a split's leaks, relative to the reports folder."""
        return self.layout.audit_page(self.name, protocol).relative_to(self.layout.reports())

    @property
    def kinds(self) -> str:
        """Subjects, sequences and pairs in words, those that the dataset knows."""
        known = [f"{self.found[kind]:,} {kind}" for kind in ("subjects", "sequences", "pairs") if self.found[kind]]
        return ", ".join(known) or "subjects are not known"

    def counts(self) -> pd.DataFrame:
        """Return one row per part: images found in each class, their sum, and the official sum where there is one."""
        rows = []
        found = self.found["found"]
        for part in [part for part in (*PARTS, WHOLE) if part in found]:
            counts = found[part]
            official = self.found["official"].get(part)
            row = {
                "part": part,
                **{name: f"{count:,}" for name, count in zip(self.found["classes"], counts, strict=True)},
            }
            row |= {"sum": f"{sum(counts):,}", "official": "–" if official is None else f"{sum(official):,}"}
            rows.append(row | {"missing": "–" if official is None else f"{sum(official) - sum(counts):,}"})
        return pd.DataFrame(rows)

    def detections(self) -> pd.DataFrame:
        """Return one row per modality: the share of faces found in each class, of all, and how many images are used."""
        rows = []
        for modality, counts in self.faces.items():
            shares = [share(found, total) for found, total in zip(counts["detected"], counts["samples"], strict=True)]
            row = {"modality": modality, **dict(zip(self.found["classes"], shares, strict=True))}
            row |= {"all": share(sum(counts["detected"]), sum(counts["samples"]))}
            rows.append(row | {key: f"{sum(counts[key]):,}" for key in ("several", "used", "blank")})
        return pd.DataFrame(rows)


def share(part: int, whole: int) -> str:
    """Return a share in percent, such as "98.5 %"; a dash where there is nothing to share."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def collect_data(study: Study) -> list[DataSummary]:
    """Return the summaries of the study's datasets, those of its experiments first."""
    layout = Layout(Path(study.root))
    return [
        DataSummary(name, params.load_dataset(name), protocols, layout)
        for name, protocols in study_protocols(study).items()
    ]
