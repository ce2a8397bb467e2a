"""The report on real faces, from what is kept of the runs: tables, figures without faces, one page."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fer import params
from fer.params import Study
from fer.reporting import real_figures, real_rows, real_tables, robustness
from fer.reporting.kept import Entry
from fer.reporting.rendering import render
from fer.reporting.tables import markdown
from fer.runs import study_folds
from fer.storage import read_csv, write_text

PACE = "pace.csv"  # hours of one core that a run takes: columns experiment, hours_a_run, measured
SUBSETS = "subsets.csv"  # named subsets of test parts: columns dataset, subset, sample
NO_DATA = ("rafdb", "ferg", "viri", "nvie")  # cannot be had without a form; their rows say so


def write(entries: list[Entry], study: Study, folder: Path) -> None:
    """Write results.csv, significance.csv, calibration.csv, classes.csv, runs.csv, results.md and the figures."""
    entries = in_order(entries)
    compared = real_tables.comparisons(entries)
    none = pd.DataFrame({"experiment": [], "hours_a_run": []})
    pace = read_csv(folder / PACE) if (folder / PACE).exists() else none
    tables = {
        "results": pd.DataFrame([real_rows.numbers(entry) for entry in entries]),
        "significance": compared,
        "calibration": real_tables.calibration(entries),
        "classes": real_tables.classes(entries),
        "runs": real_rows.runs(entries),
    }
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    real_figures.results(entries, folder / "results.png")
    real_figures.calibration(entries, folder / "calibration.png")
    datasets = list(dict.fromkeys(entry.dataset for entry in entries))
    content = {
        "datasets": [(name, [entry for entry in entries if entry.dataset == name]) for name in datasets],
        "titles": {name: params.load_dataset(name).title for name in datasets},
        "results": lambda own: markdown(pd.DataFrame([real_rows.formatted(entry) for entry in own])),
        "recalls": lambda own: markdown(real_tables.recalls(own)),
        "significance": markdown(real_tables.readable(compared)),
        "autopsy": shown(real_tables.autopsy(entries)),
        "elsewhere": shown(real_tables.elsewhere(entries)),
        "hard": shown(real_tables.hard(entries, read_csv(folder / SUBSETS))) if (folder / SUBSETS).exists() else "",
        "robustness": shown(robustness.readable(real_tables.sound(entries))),
        "runs": shown(real_rows.ledger(entries)),
        "missing": shown(missing(entries, study, pace)),
        "no_data": [params.load_dataset(name).title for name in NO_DATA],
    }
    write_text(folder / "results.md", render("real.md.j2", content))


def shown(table: pd.DataFrame) -> str:
    """Return a table as Markdown, or nothing where it has no rows."""
    return markdown(table) if len(table) else ""


def in_order(entries: list[Entry]) -> list[Entry]:
    """Return the entries by dataset: first sound ones and outside systems, best first, then variants."""
    datasets = ["fer2013", "ferplus", "jaffe", "ckplus"]

    def key(entry: Entry) -> tuple:
        place = datasets.index(entry.dataset) if entry.dataset in datasets else len(datasets)
        variant = entry.kind not in ("sound", "external")
        return (
            place,
            entry.dataset,
            variant,
            entry.experiment.variant_of if variant else "",
            -entry.mean("accuracy"),
        )

    return sorted(entries, key=key)


def missing(entries: list[Entry], study: Study, pace: pd.DataFrame) -> pd.DataFrame:
    """Return which runs of the study are not kept, and about how many hours of one core they would take.

    Args:
        pace: columns experiment and hours_a_run; for other experiments, the kept runs give the hours.
    """
    kept = {entry.name: entry for entry in entries}
    hours = {name: entry.hours / len(entry.runs) for name, entry in kept.items() if entry.runs}
    hours |= dict(zip(pace["experiment"], pace["hours_a_run"].astype(float), strict=True))
    rows = []
    for name in study.experiments:
        wanted = {(fold, seed) for fold in study_folds(study, name) for seed in study.seeds}
        own = kept[name].runs if name in kept else []
        if lacking := wanted - {(run["fold"], run["seed"]) for run in own}:
            needed = f"{len(lacking) * hours[name]:.1f}" if name in hours else "not measured"
            rows.append({"experiment": name, "runs": f"{len(lacking):,} of {len(wanted):,}", "hours": needed})
    return pd.DataFrame(rows)
