"""report real: what was measured on real faces, kept in the repository without the faces, and the report made from it.

A finished run leaves its predictions (probabilities in half precision) and the facts to read them with:
parameters, environment, epochs, copies in train. These are small enough to be committed, and every figure of
`reports/real/` is made from them alone: again at any time, without the data, the weights or a training.

    reports/real/predictions/<experiment>.parquet, .json                    a system of this project, all its runs
    reports/real/predictions/<dataset>.<protocol>.<name>.parquet, .json     a system outside it (`fer score`)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fer import layout, params
from fer.errors import FerError
from fer.layout import Layout
from fer.leakage import leaked
from fer.params import Study
from fer.reporting import losses, real
from fer.reporting.kept import ELSEWHERE, KEY
from fer.reporting.kept_files import read_entries, read_files, write_entry
from fer.reporting.provenance import alike, differing, facts_of, shared
from fer.runs import Run, read_parameters
from fer.storage import read_frame, read_json
from fer.wording import counted


def keep(study: Study, folder: Path, root: Path | None = None) -> str:
    """Keep the finished runs and the outside scores of a study, and write the report of all that is kept.

    What is kept of other runs stays. Return a line for the terminal.

    Args:
        folder: where it is kept, `reports/real`.
        root: the folder of the study's artifacts, if it is another than the study's own.

    Raises:
        FerError: runs of one experiment were trained with different parameters, or on synthetic faces.
    """
    source, predictions = Layout(root or Path(study.root)), folder / "predictions"
    found = finished_runs(source)
    for name, runs in found.items():
        keep_runs(name, runs, predictions)
    scores = sorted((source.root / "external").glob("*/*.json"))
    for path in scores:
        keep_score(path, source, predictions)
    entries = read_entries(predictions)
    real.write(entries, study, folder)
    runs = counted(sum(map(len, found.values())), "finished run")
    return f"{runs} and {counted(len(scores), 'outside score')} kept; {counted(len(entries), 'row')} in {folder}"


def finished_runs(source: Layout) -> dict[str, list[Run]]:
    """Return by experiment the runs that were trained and evaluated, as their folders say that they were trained."""
    found: dict[str, list[Run]] = {}
    for path in sorted((source.root / "runs").glob(f"*/*/{layout.SUMMARY}")):
        own = read_parameters(path.parent)
        run = Run(own.experiment, own.fold, own.seed, own.overrides, own.threads, source, own.bf16_on_cpu)
        found.setdefault(run.name, []).append(run)
    return found


def keep_runs(name: str, runs: list[Run], folder: Path) -> None:
    """Put the runs of an experiment in the place of what was kept of them, beside its other runs."""
    tables, facts = [], []
    summaries = [read_json(run.folder / layout.SUMMARY) for run in runs]
    moved = [table for run in runs if (table := elsewhere(run)) is not None]
    for run, summary in zip(runs, summaries, strict=True):
        predictions = read_frame(run.folder / layout.PREDICTIONS).assign(fold=run.fold, seed=run.seed)
        answers = predictions.assign(partner=summary["answers"]["partner"])
        tables.append(predictions.assign(copy=losses.copies(run, answers)))
        facts.append(facts_of(run, summary))
    first = runs[0]
    require_real(first.layout, first.experiment.dataset)
    about = {
        "experiment": name,
        "dataset": first.experiment.dataset,
        "protocol": first.experiment.protocol,
        "classes": first.dataset.classes,
        "without_face": losses.without_face(first),
        "flops": summaries[0]["cost"]["flops"],
        "network": summaries[0]["cost"]["parameters"],
        "parameters": alike(name, runs, summaries),
    }
    if (folder / f"{name}.json").exists():
        before, predictions, others = read_files(folder / f"{name}.json")
        if (kept := shared(before["parameters"])) != about["parameters"]:
            raise FerError(
                f"{folder / name}.json: the runs that are kept were trained with other parameters than those in "
                f"{first.folder.parent} ({differing(kept, about['parameters'])}). "
                f"Delete {folder / name}.json and .parquet to keep the new ones instead"
            )
        taken = {(run.fold, run.seed) for run in runs}
        facts += [run for run in before["runs"] if (run["fold"], run["seed"]) not in taken]
        tables.append(without(predictions, taken))
        moved.append(without(others, {(table["fold"].iloc[0], table["seed"].iloc[0]) for table in moved}))
    about["runs"] = sorted(facts, key=lambda run: (run["seed"], run["fold"]))
    other = pd.concat(moved, ignore_index=True) if moved else None
    write_entry(folder / name, about, pd.concat(tables, ignore_index=True), other)


def without(table: pd.DataFrame, runs: set[tuple[str, int]]) -> pd.DataFrame:
    """Return the rows of a table that are not of these runs, (fold, seed)."""
    return table[[key not in runs for key in zip(*(table[key] for key in KEY), strict=True)]]


def elsewhere(run: Run) -> pd.DataFrame | None:
    """Return what a run answered on other datasets (`fer evaluate --on`), columns of `fer.reporting.kept.ELSEWHERE`."""
    if not (run.folder / layout.TRANSFER).exists():
        return None
    table, found = read_frame(run.folder / layout.TRANSFER_PREDICTIONS), read_json(run.folder / layout.TRANSFER)
    for dataset in found:
        require_real(run.layout, dataset)
    protocols = {dataset: figures["protocol"] for dataset, figures in found.items()}
    table = table.assign(fold=run.fold, seed=run.seed, protocol=table["dataset"].map(protocols))
    return table[list(ELSEWHERE)]


def require_real(source: Layout, dataset: str) -> None:
    """Refuse to keep results on synthetic faces."""
    if read_json(source.counts(dataset))["synthetic"]:
        raise FerError(
            f"{source.counts(dataset)} says that the faces of {dataset} are synthetic; only results on real faces are "
            "kept"
        )


def keep_score(path: Path, source: Layout, folder: Path) -> None:
    """Keep what `fer score` wrote of one system."""
    figures = read_json(path)
    dataset, protocol, name = figures["dataset"], figures["protocol"], figures["system"]
    require_real(source, dataset)
    audit = read_json(source.audit(dataset, protocol))
    # As with our own systems: where the duplicates of test were removed from train, none is a copy
    copies = [] if "kept" in audit else leaked(audit)
    table = read_frame(path.with_suffix(".parquet")).assign(fold="all", seed=0)
    about = {
        "external": name,
        "dataset": dataset,
        "protocol": protocol,
        "classes": params.load_dataset(dataset).classes,
        "trained_on": figures["trained_on"],
        "saw_test": figures["saw_test"],
        "probabilities": figures["ece"] is not None,
    }
    write_entry(folder / f"{dataset}.{protocol}.{name}", about, table.assign(copy=np.isin(table["sample"], copies)))
