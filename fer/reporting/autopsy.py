"""The autopsy: how each defect of an original changes the figure on the same data, and what each part is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from fer.evaluation.significance import paired_test
from fer.reporting.comparison import any_synthetic, figures, how, names_of, numbers, protocol_of
from fer.reporting.kept import Entry
from fer.reporting.results import Result
from fer.reporting.significance import by_pair
from fer.reporting.tables import Table, points

ROWS = {"as_published": "as published", "defect": "defect", "ablation": "ablation", "sound": "sound"}
DIFFERENCE = (
    "'Difference' is the effect of the change, in points: the row's accuracy minus that of the experiment in the "
    "column 'against', from which it differs in nothing else. It is measured on the same test images; the 95 % "
    "interval and the p-value are those of the paired, clustered difference. It is missing where the change is "
    "the split, because other images are tested."
)


@dataclass(frozen=True)
class Comparison:
    """A variant beside the experiment that it is compared with.

    `against` is that experiment's name, or says why there is none; `remark` why there is no difference. The figures are
    fractions, missing where there is no difference; `test` is the one that `p` comes from.
    """

    against: str
    remark: str = ""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    test: str | None = None

    def shown(self) -> str:
        """Return the difference with its interval, in percentage points; nothing where there is none."""
        return "" if self.difference is None else points(self.difference, self.low, self.high)


def autopsy(results: list[Result]) -> Table:
    """Published → reproduced with its defects → with a single defect → sound, original by original."""
    title, kinds = "Autopsy: published results, known defects, corrected versions", ("as_published", "defect")
    what = (
        "The published figure, the original reproduced as far as it is known, each defect alone, and the sound version."
    )
    return table_of_variants("autopsy", title, what, results, kinds)


def ablations(results: list[Result]) -> Table:
    """Return the table of variants in which a part of the system is removed or added."""
    what = "Each row removes a part of the system or adds one."
    return table_of_variants("ablations", "Ablations", what, results, ("ablation",))


def table_of_variants(name: str, title: str, what: str, results: list[Result], kinds: tuple[str, ...]) -> Table:
    """Return a table of the variants of some kinds, grouped by the sound experiment that each varies."""
    by_name = {result.name: result for result in results}
    variants = [result for result in results if result.kind in kinds]
    shown, rows, found = [], [], []
    for base in dict.fromkeys(result.experiment.variant_of for result in variants):
        own = [result for result in variants if result.experiment.variant_of == base]
        own.sort(key=lambda result: kinds.index(result.kind))
        for result in [*own, *([by_name[base]] if base in by_name else [])]:
            comparison = Comparison("") if result.name == base else beside(result, by_name)
            shown.append(result)
            rows.append(formatted(result, base, comparison))
            found.append(vars(comparison))
    columns = list(formatted(results[0], "", Comparison("")))
    frame = pd.DataFrame(rows, columns=columns)
    note = f"{what} {DIFFERENCE} {how(shown)}"
    table = pd.concat([numbers(shown), pd.DataFrame(found, columns=list(Comparison.__dataclass_fields__))], axis=1)
    return Table(name, title, note, frame, table, any_synthetic(shown), names_of(shown))


def beside(
    variant: Result | Entry, others: Mapping[str, Result | Entry], lacking: str = "{} (not in this study)"
) -> Comparison:
    """Return a variant's difference from what it is compared with, or why it is compared with nothing.

    Args:
        others: what it may be compared with, by name.
        lacking: what is said of an experiment that is not among them.
    """
    experiment = variant.experiment
    if experiment.against is None:
        return Comparison(f"not compared: {experiment.not_compared}")
    if (other := others.get(experiment.against)) is None:
        return Comparison(lacking.format(experiment.against))
    pair = paired_test(by_pair(variant), by_pair(other))
    augmented = [item.experiment.augment_before_split for item in (variant, other)]  # tests variants, too
    if pair is None or augmented[0] != augmented[1]:
        return Comparison(other.name, "other test images")
    return Comparison(other.name, "", *(pair[key] for key in ("difference", "low", "high", "p", "test")))


def formatted(result: Result, base: str, comparison: Comparison) -> dict[str, str]:
    """Return one row as people read it; `base` is the experiment that the group belongs to."""
    return {
        "experiment": base,
        "row": ROWS[result.kind],
        "change": result.experiment.change,
        "against": comparison.against,
        "difference": comparison.remark or comparison.shown(),
        "p": "" if comparison.p is None else f"{comparison.p:.3g}",
        "protocol": protocol_of(result),
        **figures(result),
    }
