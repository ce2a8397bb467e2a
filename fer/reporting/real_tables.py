"""The report on real faces: the tables that set entries beside one another."""

from __future__ import annotations

import pandas as pd

from fer import params
from fer.evaluation.answers import Answers, interval_over_seeds
from fer.evaluation.significance import Predictions
from fer.evaluation.significance import comparisons as comparisons_of
from fer.reporting import significance
from fer.reporting.autopsy import beside
from fer.reporting.kept import Entry
from fer.reporting.tables import percent, span


def sound(entries: list[Entry]) -> list[Entry]:
    """Return what is compared with one another: the sound experiments, and the systems outside."""
    return [entry for entry in entries if entry.kind in ("sound", "external")]


def comparisons(entries: list[Entry]) -> pd.DataFrame:
    """Return every pair of systems on the same test images (see `fer.evaluation.significance.comparisons`)."""
    found = comparisons_of([Predictions(item.name, item.dataset, item.predictions) for item in sound(entries)])
    return found[found["n"].notna()].reset_index(drop=True)


def readable(found: pd.DataFrame) -> pd.DataFrame:
    """Return the comparisons as people read them."""
    columns = ["first", "second", "n", "first alone", "second alone", "difference", "p (Holm)", "test"]
    return significance.readable(found, digits=2).reindex(columns=columns)


def autopsy(entries: list[Entry]) -> pd.DataFrame:
    """Return each variant beside the experiment that differs from it only by its change."""
    by_name, rows = {entry.name: entry for entry in entries}, []
    for entry in entries:
        if entry.kind in ("sound", "external"):
            continue
        found, other = beside(entry, by_name, "{} is not kept"), by_name.get(entry.experiment.against)
        rows.append(
            {
                "experiment": entry.name,
                "change": entry.experiment.change,
                "accuracy %": entry.plus_minus("accuracy"),
                "against": found.against,
                "its %": other.plus_minus("accuracy") if other else "–",
                "difference": found.remark or found.shown() or "–",
                "p": "–" if found.p is None else f"{found.p:.2g}",
            }
        )
    return pd.DataFrame(rows)


def calibration(entries: list[Entry]) -> pd.DataFrame:
    """Return the bins of each reliability diagram, one below the other."""
    parts = {entry.name: entry.bins for entry in entries if entry.ece is not None}
    return pd.concat(parts, names=["entry"]).reset_index(level="entry") if parts else pd.DataFrame()


def classes(entries: list[Entry]) -> pd.DataFrame:
    """Return precision, recall, F1 and n of each class of each entry, one below the other."""
    parts = {entry.name: entry.per_class for entry in entries}
    return pd.concat(parts, names=["entry", "class"]).reset_index() if parts else pd.DataFrame()


def recalls(entries: list[Entry]) -> pd.DataFrame:
    """Return the recall of each class in percent for one dataset's sound and outside entries."""
    return pd.DataFrame(
        [
            {"system": entry.name}
            | {f"{name} %": percent(found, 1) for name, found in entry.per_class["recall"].items()}
            for entry in sound(entries)
        ]
    )


def elsewhere(entries: list[Entry]) -> pd.DataFrame:
    """Return how the networks of each entry do on other datasets, over the expressions that both have."""
    rows = []
    for entry in entries:
        for (dataset, protocol), answers in entry.elsewhere.groupby(["dataset", "protocol"], observed=True):
            labels = answers["label"].astype(str)
            as_cut, correct = (answers[name].astype(str) == labels for name in ("predicted_as_cut", "predicted"))
            found = interval_over_seeds(answers.assign(correct=correct), "sample")
            rows.append(
                {
                    "trained on": entry.name,
                    "tested on": f"{params.load_dataset(dataset).title}, {protocol.replace('_', ' ')}",
                    "accuracy %": percent(float(correct.mean())),
                    "95 % interval": span(found.low, found.high),
                    "as cut %": percent(float(as_cut.mean())),
                    "expressions": str(labels.nunique()),
                    "n": f"{answers['sample'].nunique():,}",
                    "clusters": f"{found.clusters:,}",
                    "runs": str(len(answers[["fold", "seed"]].drop_duplicates())),
                }
            )
    return pd.DataFrame(rows)


def hard(entries: list[Entry], subsets: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy on named subsets of the test part, with its interval.

    Args:
        subsets: columns dataset, subset and sample (row of the dataset's index).
    """
    rows = []
    for entry in sound(entries):
        own = subsets[subsets["dataset"] == entry.dataset]
        shown = {"system": entry.name, "all %": entry.plus_minus("accuracy")}
        for name, samples in own.groupby("subset", sort=False)["sample"]:
            part = entry.predictions[entry.predictions["sample"].isin(samples)]
            if len(part):
                found = Answers(part, entry.classes)
                bounds = span(found.interval.low, found.interval.high)
                shown[f"{name} %"] = f"{found.plus_minus('accuracy')} ({bounds}; n {found.n:,})"
        if len(shown) > 2:
            rows.append(shown)
    return pd.DataFrame(rows).fillna("–")
