"""The report on real faces: each entry as a row, for reading and in numbers, and its runs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fer.reporting.kept import Entry
from fer.reporting.tables import percent, span


def formatted(entry: Entry) -> dict[str, str]:
    """Return an entry as people read it."""
    published = entry.experiment.published.accuracy if entry.kind in ("sound", "as_published") else None
    clean = "–"
    if without := entry.without_copies:
        clean = f"{percent(without.mean('accuracy'))} ({span(without.interval.low, without.interval.high)})"
    return {
        "system": entry.system,
        "row": entry.variant,
        "protocol": entry.protocol.replace("_", " "),
        "published %": percent(published),
        "accuracy %": entry.plus_minus("accuracy"),
        "95 % interval": span(entry.interval.low, entry.interval.high),
        "n": f"{entry.n:,}",
        "clusters": f"{entry.interval.clusters:,}",
        "without copies %": "variants" if entry.variants_tested else clean,
        "balanced %": entry.plus_minus("balanced_accuracy"),
        "macro F1 %": entry.plus_minus("macro_f1"),
        "ECE %": percent(entry.ece),
        "trained": entry.trained,
        "seeds": "–" if entry.external else str(len(entry.seeds)),
        "hours": "–" if entry.external else f"{entry.hours:.1f}",
        "saw the test images?": entry.saw_test,
    }


def numbers(entry: Entry) -> dict:
    """Return an entry unrounded; fractions lie in [0, 1]."""
    without = entry.without_copies
    published = None if entry.external else entry.experiment.published
    first = entry.runs[0] if entry.runs else {}
    return {
        "entry": entry.name,
        "dataset": entry.dataset,
        "protocol": entry.protocol,
        "system": entry.system,
        "kind": entry.kind,
        "change": "" if entry.external else entry.experiment.change,
        "published_accuracy": published.accuracy if published and entry.kind in ("sound", "as_published") else None,
        "published_source": published.source if published else "",
        **entry.unrounded(),
        "copies": None if entry.variants_tested else float(entry.predictions["copy"].mean()),
        "accuracy_without_copies": without.mean("accuracy") if without else None,
        "without_copies_low": without.interval.low if without else None,
        "without_copies_high": without.interval.high if without else None,
        "balanced_accuracy": entry.mean("balanced_accuracy"),
        "macro_f1": entry.mean("macro_f1"),
        "ece": entry.ece,
        "trained": entry.trained,
        "saw_test": entry.saw_test,
        "seeds": len(entry.seeds),
        "folds": entry.predictions["fold"].nunique(),
        "hours": entry.hours,
        "parameters": entry.facts.get("network"),
        "flops": entry.facts.get("flops"),
        "without_face": entry.facts.get("without_face"),
        "processor": first.get("environment", {}).get("processor", ""),
        "commit": first.get("environment", {}).get("commit", ""),
        "command": first.get("command", ""),
    }


def runs(entries: list[Entry]) -> pd.DataFrame:
    """Return every run with where, when and by what command it was made."""
    rows = [
        {"experiment": entry.name}
        | {key: run[key] for key in ("fold", "seed", "best_epoch", "chosen_on", "accuracy_there")}
        | {run["budget"]["unit"]: run["budget"]["done"]}
        | run["environment"]
        | {"command": run["command"]}
        for entry in entries
        for run in entry.runs
    ]
    return pd.DataFrame(rows)


def ledger(entries: list[Entry]) -> pd.DataFrame:
    """Return where each experiment was trained, and the command of its first run."""
    rows = []
    for entry in entries:
        if entry.external:
            continue
        machines = {tuple(run["environment"][key] for key in ("processor", "precision")) for run in entry.runs}
        commits = dict.fromkeys(run["environment"]["commit"] for run in entry.runs)
        rows.append(
            {
                "experiment": entry.name,
                "runs": str(len(entry.runs)),
                "hours": f"{entry.hours:.2f}",
                "validation %": percent(float(np.mean([run["accuracy_there"] for run in entry.runs]))),
                "epoch kept": ", ".join(str(run["best_epoch"]) for run in entry.runs[:3])
                + (" …" if len(entry.runs) > 3 else ""),
                "processor and precision": "; ".join(sorted(" · ".join(pair) for pair in machines)),
                "commit": ", ".join(name[:7] + ("-dirty" if name.endswith("-dirty") else "") for name in commits),
                "command": f"`{entry.runs[0]['command']}`",
            }
        )
    return pd.DataFrame(rows)
