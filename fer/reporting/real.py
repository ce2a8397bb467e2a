"""The report on real faces, from what is kept of the runs: tables, figures without faces, one page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fer import params
from fer.evaluation import significance
from fer.evaluation.intervals import accuracy_interval
from fer.evaluation.significance import Predictions, paired
from fer.params import Study
from fer.reporting import real_figures
from fer.reporting.kept import Entry
from fer.reporting.rendering import render
from fer.reporting.tables import markdown, percent
from fer.runs import study_folds
from fer.storage import write_text
from fer.wording import counted

NO_DATA = ("rafdb", "ferg", "viri", "nvie")  # cannot be had without a form; their rows say so


def write(entries: list[Entry], study: Study, folder: Path) -> None:
    """Write results.csv, significance.csv, calibration.csv, classes.csv, runs.csv, results.md and the figures."""
    entries = ordered(entries)
    compared = comparisons(entries)
    tables = {
        "results": pd.DataFrame([numbers(entry) for entry in entries]),
        "significance": compared,
        "calibration": calibration(entries),
        "classes": classes(entries),
        "runs": runs(entries),
    }
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    real_figures.results(entries, folder / "results.png")
    real_figures.calibration(entries, folder / "calibration.png")
    datasets = list(dict.fromkeys(entry.dataset for entry in entries))
    content = {
        "datasets": [(name, [entry for entry in entries if entry.dataset == name]) for name in datasets],
        "titles": {name: params.load_dataset(name).title for name in datasets},
        "results": lambda own: markdown(pd.DataFrame([row(entry) for entry in own])),
        "recalls": lambda own: markdown(recalls(own)),
        "significance": markdown(readable(compared)),
        "autopsy": shown(autopsy(entries)),
        "elsewhere": shown(elsewhere(entries)),
        "robustness": shown(robustness(entries)),
        "runs": shown(ledger(entries)),
        "missing": missing(entries, study),
        "no_data": [params.load_dataset(name).title for name in NO_DATA],
    }
    write_text(folder / "results.md", render("real.md.j2", content))


def shown(table: pd.DataFrame) -> str:
    """Return a table as Markdown, or nothing where it has no rows."""
    return markdown(table) if len(table) else ""


def ordered(entries: list[Entry]) -> list[Entry]:
    """Return the entries by dataset; of each the sound ones and those outside, best first, then the variants."""
    datasets = ["fer2013", "ferplus", "jaffe", "ckplus"]

    def key(entry: Entry) -> tuple:
        place = datasets.index(entry.dataset) if entry.dataset in datasets else len(datasets)
        variant = entry.kind not in ("sound", "external")
        return (
            place,
            entry.dataset,
            variant,
            entry.experiment.variant_of if variant else "",
            -entry.answers.mean("accuracy"),
        )

    return sorted(entries, key=key)


def row(entry: Entry) -> dict[str, str]:
    """Return an entry as people read it."""
    interval, without = entry.answers.interval, entry.interval_without_copies
    published = None if entry.external or entry.kind not in ("sound", "as_published") else entry.experiment.published
    clean = "–"
    if without is not None:
        bounds = f"{percent(without.low, 1)} – {percent(without.high, 1)}"
        clean = f"{percent(entry.without_copies.mean('accuracy'))} ({bounds})"
    return {
        "system": entry.system,
        "row": "outside" if entry.external else entry.experiment.change or "sound",
        "protocol": entry.protocol.replace("_", " "),
        "published %": percent(published.accuracy) if published else "–",
        "accuracy %": entry.answers.plus_minus("accuracy"),
        "95 % interval": f"{percent(interval.low, 1)} – {percent(interval.high, 1)}",
        "n": f"{entry.answers.n:,}",
        "clusters": f"{interval.clusters:,}",
        "without copies %": "variants" if entry.variants_tested else clean,
        "balanced %": entry.answers.plus_minus("balanced_accuracy"),
        "macro F1 %": entry.answers.plus_minus("macro_f1"),
        "ECE %": percent(entry.ece),
        "trained": entry.trained,
        "seeds": "–" if entry.external else str(len(entry.answers.seeds)),
        "hours": "–" if entry.external else f"{entry.hours:.1f}",
        "saw the test images?": entry.saw_test,
    }


def numbers(entry: Entry) -> dict:
    """Return an entry unrounded; fractions lie in [0, 1]."""
    interval, without = entry.answers.interval, entry.interval_without_copies
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
        "accuracy_mean": entry.answers.mean("accuracy"),
        "accuracy_std": entry.answers.std("accuracy"),
        "accuracy_low": interval.low,
        "accuracy_high": interval.high,
        "interval_method": interval.method,
        "n_test": entry.answers.n,
        "clusters": interval.clusters,
        "majority": entry.answers.majority,
        "copies": None if entry.variants_tested else float(entry.table["copy"].mean()),
        "accuracy_without_copies": entry.without_copies.mean("accuracy") if without else None,
        "without_copies_low": without.low if without else None,
        "without_copies_high": without.high if without else None,
        "balanced_accuracy": entry.answers.mean("balanced_accuracy"),
        "macro_f1": entry.answers.mean("macro_f1"),
        "ece": entry.ece,
        "trained": entry.trained,
        "saw_test": entry.saw_test,
        "seeds": len(entry.answers.seeds),
        "folds": entry.table["fold"].nunique(),
        "hours": entry.hours,
        "parameters": entry.facts.get("network"),
        "flops": entry.facts.get("flops"),
        "without_face": entry.facts.get("without_face"),
        "processor": first.get("environment", {}).get("processor", ""),
        "commit": first.get("environment", {}).get("commit", ""),
        "command": first.get("command", ""),
    }


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
    """Return each variant beside the experiment that differs from it by its change alone."""
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
        pair = None if entry.variants_tested != other.variants_tested else paired(entry.table, other.table)
        if pair is None:
            rows.append(found | {"difference": "other test images", "p": "–"})
        else:
            bounds = f"{points(pair['low'])} to {points(pair['high'])}"
            rows.append(found | {"difference": f"{points(pair['difference'])} ({bounds})", "p": f"{pair['p']:.2g}"})
    return pd.DataFrame(rows, columns=["experiment", "change", "accuracy %", "against", "its %", "difference", "p"])


def points(difference: float) -> str:
    """Return a difference of fractions in percentage points, with its sign."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def calibration(entries: list[Entry]) -> pd.DataFrame:
    """Return the bins of each reliability diagram, one below the other."""
    parts = {entry.name: entry.bins for entry in entries if entry.ece is not None}
    return pd.concat(parts, names=["entry"]).reset_index(level="entry") if parts else pd.DataFrame()


def classes(entries: list[Entry]) -> pd.DataFrame:
    """Return precision, recall, F1 and n of each class of each entry, one below the other."""
    parts = {entry.name: entry.answers.per_class for entry in entries}
    return pd.concat(parts, names=["entry", "class"]).reset_index() if parts else pd.DataFrame()


def recalls(entries: list[Entry]) -> pd.DataFrame:
    """Return of one dataset's sound and outside entries the recall of each class in percent."""
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
                    "95 % interval": f"{percent(found.low, 1)} – {percent(found.high, 1)}",
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
    """Return of each experiment where it was trained, and the command of its first run."""
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


def missing(entries: list[Entry], study: Study) -> list[str]:
    """Return in words which runs of the study are not kept."""
    kept = {entry.name: {(run["fold"], run["seed"]) for run in entry.runs} for entry in entries}
    lines = []
    for name in study.experiments:
        wanted = {(fold, seed) for fold in study_folds(study, name) for seed in study.seeds}
        if lacking := wanted - kept.get(name, set()):
            lines.append(f"`{name}`: {len(lacking):,} of {counted(len(wanted), 'run')}")
    return lines
