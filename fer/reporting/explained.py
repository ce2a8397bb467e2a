"""What the report says of an experiment's explanation: a table of scores, and remarks."""

from __future__ import annotations

import pandas as pd

from fer.layout import Layout
from fer.reporting.tables import cells
from fer.storage import read_json


def explained(layout: Layout, experiment: str) -> dict:
    """Return what a page shows of an explanation, from the file that explain left, ready for JSON.

    `table`: one row per method; no rows where no sample was classified correctly. `fold`, `seed`: of the run that was
    explained. `scored`: the samples that the scores are of. `remarks`: sentences.
    """
    found = read_json(layout.explanation(experiment))
    shown = {key: found[key] for key in ("fold", "seed", "scored", "remarks")}
    return shown | {"table": cells(scores_table(found["scores"]))}


def scores_table(scores: list[dict]) -> pd.DataFrame:
    """Return one row per method: areas under the curves in percent, 95 % intervals, and the gain on a random map."""
    rows = []
    for method in scores:
        row = {"map": method["name"], "clusters": f"{method['clusters']:,}"}
        for kind, better in (("deletion", "↓"), ("insertion", "↑")):
            entry = method[kind]
            row[f"{kind} {better} %"] = f"{100 * entry['mean']:.1f}"
            row[f"{kind}, 95 %"] = bounds(entry["interval"])
            row[f"{kind} − random"] = (
                f"{100 * entry['above_random']:+.1f} ({bounds(entry['above_random_interval'])})"
                if "above_random" in entry
                else "–"
            ).replace("-", "−")
        rows.append(row)
    return pd.DataFrame(rows)


def bounds(interval: list[float]) -> str:
    """Return the bounds of an interval in percent, in words."""
    return " to ".join(f"{100 * bound:.1f}" for bound in interval).replace("-", "−")
