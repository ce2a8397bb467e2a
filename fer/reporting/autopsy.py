"""The autopsy: what each defect of an original does to the figure on the same data, and what each part is worth."""

from __future__ import annotations

import pandas as pd

from fer.reporting.comparison import HOW, named, numbers, runs_of, stamped
from fer.reporting.results import Result
from fer.reporting.tables import Table, percent

ROWS = {"as_published": "as published", "defect": "defect", "ablation": "ablation", "sound": "sound"}


def autopsy(results: list[Result]) -> Table:
    """Published → reproduced with the defects → with one defect alone → sound, original by original."""
    note = (
        f"{HOW} The published figure, the original repeated as far as it is known, its defects one by one on the sound "
        "experiment, and the sound one. Difference: points above (+) or below (−) the sound row."
    )
    return compared("autopsy", "Autopsy: published, with its defects, sound", note, results, ("as_published", "defect"))


def ablations(results: list[Result]) -> Table:
    note = f"{HOW} Each row leaves a part of the system out or adds one. Difference: points against the system itself."
    return compared("ablations", "Ablations", note, results, ("ablation",))


def compared(name: str, title: str, note: str, results: list[Result], kinds: tuple[str, ...]) -> Table:
    rows, shown = [], []
    for base in results:
        own = [item for item in results if item.first.experiment.variant_of == base.name and item.kind in kinds]
        for result in [*sorted(own, key=lambda item: kinds.index(item.kind)), base] if own else []:
            rows.append(row(result, base))
            shown.append(result)
    columns = list(row(results[0], results[0]))
    frame = pd.DataFrame(rows, columns=columns)
    return Table(name, title, note, frame, numbers(shown), stamped(shown), named(shown))


def row(result: Result, base: Result) -> dict[str, str]:
    low, high = result.interval
    difference = 100 * (result.mean("accuracy") - base.mean("accuracy"))
    return {
        "experiment": base.name,
        "row": ROWS[result.kind],
        "change": result.first.experiment.change,
        "protocol": result.first.experiment.protocol.replace("_", " "),
        "published %": percent(result.published),
        "ours %": result.plus_minus("accuracy"),
        "95 % interval": f"{percent(low, 1)} – {percent(high, 1)}",
        "n": f"{result.n:,}",
        "seeds": runs_of(result),
        "difference": "" if result is base else f"{difference:+.1f}".replace("-", "−"),
    }
