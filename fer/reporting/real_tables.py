"""The report on real faces: the tables that set entries beside one another."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fer import params
from fer.evaluation import significance
from fer.evaluation.answers import Answers
from fer.evaluation.intervals import accuracy_interval
from fer.evaluation.significance import Predictions, paired_test
from fer.reporting.kept import Entry
from fer.reporting.tables import percent, points, span


def sound(entries: list[Entry]) -> list[Entry]:
    """Return what is compared with one another: the sound experiments, and the systems outside."""
    return [entry for entry in entries if entry.kind in ("sound", "external")]


def comparisons(entries: list[Entry]) -> pd.DataFrame:
    """Return every pair of systems on the same test images (see `fer.evaluation.significance.comparisons`)."""
    found = significance.comparisons([Predictions(item.name, item.dataset, item.table) for item in sound(entries)])
    return found[found["n"].notna()].reset_index(drop=True)


def readable(found: pd.DataFrame) -> pd.DataFrame:
    """Return the comparisons as people read them: percentage points, counts with commas."""
    rows = [
        {
            "first": pair["first"],
            "second": pair["second"],
            "n": f"{pair['n']:,}",
            "first alone": f"{pair['first_only_right']:,.0f}",
            "second alone": f"{pair['second_only_right']:,.0f}",
            "difference": points(pair["difference"]),
            "p (Holm)": f"{pair['p_holm']:.2g}",
            "test": pair["test"],
        }
        for pair in found.to_dict("records")
    ]
    return pd.DataFrame(
        rows, columns=["first", "second", "n", "first alone", "second alone", "difference", "p (Holm)", "test"]
    )


def autopsy(entries: list[Entry]) -> pd.DataFrame:
    """Return each variant beside the experiment that differs from it only by its change."""
    by_name, rows = {entry.name: entry for entry in entries}, []
    for entry in entries:
        if entry.kind in ("sound", "external"):
            continue
        against, own = entry.experiment.against, entry.answers
        found = {"experiment": entry.name, "change": entry.experiment.change, "accuracy %": own.plus_minus("accuracy")}
        if (other := by_name.get(against)) is None:
            why = f"{against} is not kept" if against else f"not compared: {entry.experiment.not_compared}"
            rows.append(found | {"against": why, "its %": "–", "difference": "–", "p": "–"})
            continue
        found |= {"against": against, "its %": other.answers.plus_minus("accuracy")}
        pair = None if entry.variants_tested != other.variants_tested else paired_test(entry.table, other.table)
        if pair is None:
            rows.append(found | {"difference": "other test images", "p": "–"})
        else:
            difference = points(pair["difference"], pair["low"], pair["high"])
            rows.append(found | {"difference": difference, "p": f"{pair['p']:.2g}"})
    return pd.DataFrame(rows, columns=["experiment", "change", "accuracy %", "against", "its %", "difference", "p"])


def calibration(entries: list[Entry]) -> pd.DataFrame:
    """Return the bins of each reliability diagram, one below the other."""
    parts = {entry.name: entry.bins for entry in entries if entry.ece is not None}
    return pd.concat(parts, names=["entry"]).reset_index(level="entry") if parts else pd.DataFrame()


def classes(entries: list[Entry]) -> pd.DataFrame:
    """Return precision, recall, F1 and n of each class of each entry, one below the other."""
    parts = {entry.name: entry.answers.per_class for entry in entries}
    return pd.concat(parts, names=["entry", "class"]).reset_index() if parts else pd.DataFrame()


def recalls(entries: list[Entry]) -> pd.DataFrame:
    """Return the recall of each class in percent for one dataset's sound and outside entries."""
    return pd.DataFrame(
        [
            {"system": entry.name}
            | {f"{name} %": percent(found, 1) for name, found in entry.answers.per_class["recall"].items()}
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
            each = answers.assign(correct=correct).groupby("sample").agg({"correct": "mean", "cluster": "first"})
            found = accuracy_interval(each["correct"].to_numpy(float), each["cluster"].to_numpy(str))
            rows.append(
                {
                    "trained on": entry.name,
                    "tested on": f"{params.load_dataset(dataset).title}, {protocol.replace('_', ' ')}",
                    "accuracy %": percent(float(correct.mean())),
                    "95 % interval": span(found.low, found.high),
                    "as cut %": percent(float(as_cut.mean())),
                    "expressions": str(labels.nunique()),
                    "n": f"{len(each):,}",
                    "clusters": f"{found.clusters:,}",
                    "runs": str(len(answers[["fold", "seed"]].drop_duplicates())),
                }
            )
    return pd.DataFrame(rows)


def robustness(entries: list[Entry]) -> pd.DataFrame:
    """Return the accuracy on corrupted images, each corruption averaged over its severities, all runs together."""
    rows = []
    for entry in sound(entries):
        measured = [run["robustness"] for run in entry.runs if run["robustness"]]
        if not measured:
            continue
        weights = [found["n"] for found in measured]
        means = {
            name: np.average([np.mean(found[name]) for found in measured], weights=weights)
            for name in measured[0]
            if name != "n"
        }
        untouched = means.pop("none")
        shown = {"experiment": entry.name, "n": f"{sum(weights) // len(entry.answers.seeds):,}"}
        shown |= {"untouched %": percent(untouched, 1)}
        shown |= {f"{name.replace('_', ' ')} %": percent(mean, 1) for name, mean in means.items()}
        rows.append(shown | {"mean %": percent(np.mean(list(means.values())), 1)})
    return pd.DataFrame(rows)


def hard(entries: list[Entry], subsets: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy on named subsets of the test part, with its interval.

    Args:
        subsets: columns dataset, subset and sample (row of the dataset's index).
    """
    rows = []
    for entry in sound(entries):
        own = subsets[subsets["dataset"] == entry.dataset]
        shown = {"system": entry.name, "all %": entry.answers.plus_minus("accuracy")}
        for name, samples in own.groupby("subset", sort=False)["sample"]:
            part = entry.table[entry.table["sample"].isin(samples)]
            if len(part):
                found = Answers(part, entry.facts["classes"])
                bounds = span(found.interval.low, found.interval.high)
                shown[f"{name} %"] = f"{found.plus_minus('accuracy')} ({bounds}; n {found.n:,})"
        if len(shown) > 2:
            rows.append(shown)
    return pd.DataFrame(rows).fillna("–")
