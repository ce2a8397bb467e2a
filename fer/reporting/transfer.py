"""How well what was learned on one dataset carries over to another: the matrix of a study's `cross_dataset`."""

from __future__ import annotations

import pandas as pd

from fer import layout
from fer.evaluation.answers import interval_over_seeds
from fer.evaluation.intervals import Interval
from fer.params import Study
from fer.reporting.comparison import any_synthetic
from fer.reporting.losses import without_face
from fer.reporting.results import Result
from fer.reporting.tables import Table, percent
from fer.runs import transfer_runs
from fer.storage import read_json

FIGURES = ("accuracy", "macro_recall")


def cells(study: Study, results: list[Result]) -> pd.DataFrame:
    """Return one row for each pair of datasets, in the order of `cross_dataset`.

    Columns: experiment; trained_on and tested_on (datasets); n, the samples tested, and their clusters; classes, the
    expressions that both datasets have, to which the answers are confined; accuracy and macro_recall, in [0, 1], means
    over seeds; accuracy_low and accuracy_high, the 95 % interval; how many samples were left out: `other_expressions`,
    and `seen_in_training`, the images that the network knows; `framing`, "as trained" where the faces were cut anew as
    those of the network's own dataset are, else "as cut"; `accuracy_as_cut`, with its bounds `as_cut_low` and
    `as_cut_high`, on the faces as their own dataset has them; and `without_face`, the share of the tested dataset's
    images in which no face was found.

    If both are the same dataset, the figures are those of the results table: all classes, all folds. Elsewhere the
    networks of the experiment's first fold are tested on every test sample of the other dataset.
    """
    own, rows = {result.name: result for result in results}, []
    for name in study.cross_dataset:
        trained_on = own[name].experiment.dataset
        for key in study.cross_dataset:
            tested_on = own[key].experiment.dataset
            figures = within(own[name]) if key == name else across(study, name, tested_on)
            figures["without_face"] = without_face(own[key].first)
            rows.append({"experiment": name, "trained_on": trained_on, "tested_on": tested_on, **figures})
    return pd.DataFrame(rows)


def table(study: Study, results: list[Result]) -> Table:
    """The matrix of accuracies, for reading."""
    found = cells(study, results)
    systems = {result.experiment.system for result in results if result.name in study.cross_dataset}
    note = (
        f"Accuracy in percent of {', '.join(sorted(systems))}, trained on the dataset of the row and tested on that of "
        "the column, over the expressions that both have. On the diagonal, the results table's own figure; elsewhere "
        "the network of the first fold, on every test sample whose picture it was not trained on. In brackets, the "
        "95 % interval, the number of samples and that of the subjects, sequences or single images that they are of. "
        "Faces that the tested dataset crops differently are cropped again as those that the network was trained on; "
        "'as cut' is the accuracy without this."
    )
    shown = [result for result in results if result.name in study.cross_dataset]
    trained = {result.experiment.dataset: result.trained for result in shown}
    frame = readable(found) if len(found) else pd.DataFrame({"trained on": []})
    frame["trained"] = frame["trained on"].map(trained)
    lost = [f"{percent(without_face(result.first), 1)} % of {result.experiment.dataset}" for result in shown]
    note += f" No face was found in {', '.join(lost)}." if lost else ""
    return Table("cross_dataset", "Trained on one dataset, tested on another", note, frame, found, any_synthetic(shown))


def within(result: Result) -> dict:
    """Return the cell of an experiment on its own dataset."""
    figures = {name: result.mean(name) for name in FIGURES}
    classes = len(result.first.dataset.classes)
    found, left_out = bounds(result.interval), {"other_expressions": 0, "seen_in_training": 0}
    same = as_cut(figures["accuracy"], result.interval)
    return {"n": result.n, "classes": classes, **figures, **found, **left_out, "framing": "as cut", **same}


def across(study: Study, name: str, dataset: str) -> dict:
    """Return the cell of an experiment on another dataset."""
    runs = transfer_runs(study, name)
    found = pd.DataFrame([read_json(run.folder / layout.TRANSFER)[dataset] for run in runs])
    counts = {key: int(found[key].iloc[0]) for key in ("n", "other_expressions", "seen_in_training")}
    answers = pd.concat(map(pd.DataFrame, found["answers"]), ignore_index=True)
    interval, other = (interval_over_seeds(answers, "sample", column) for column in ("correct", "correct_as_cut"))
    accuracy = float(answers.groupby("sample")["correct_as_cut"].mean().mean())
    figures = {"classes": len(found["classes"].iloc[0])} | found[list(FIGURES)].mean().to_dict()
    framing = {"framing": found["framing"].iloc[0]} | as_cut(accuracy, other)
    return counts | figures | bounds(interval) | framing


def bounds(interval: Interval) -> dict:
    """Return an interval as columns of the table."""
    return {"accuracy_low": interval.low, "accuracy_high": interval.high, "clusters": interval.clusters}


def as_cut(accuracy: float, interval: Interval) -> dict:
    return {"accuracy_as_cut": accuracy, "as_cut_low": interval.low, "as_cut_high": interval.high}


def matrix(cells: pd.DataFrame, figure: str = "accuracy") -> pd.DataFrame:
    """Return a figure ("accuracy", "macro_recall", or a count such as "n") of `cells`: trained on rows, tested on
    columns.
    """
    order = list(dict.fromkeys(cells["trained_on"]))
    return cells.pivot(index="trained_on", columns="tested_on", values=figure).loc[order, order]


def readable(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the matrix that people read: accuracies in percent with their intervals, samples and clusters."""
    texts = [
        f"{percent(cell.accuracy, 1)} ({percent(cell.accuracy_low, 1)} – {percent(cell.accuracy_high, 1)}; "
        f"n {cell.n:,}, clusters {cell.clusters:,}{otherwise(cell)})"
        for cell in cells.itertuples()
    ]
    shown = matrix(cells.assign(text=texts), "text")
    return shown.rename_axis(index="trained on", columns=None).reset_index()


def otherwise(cell) -> str:
    return "" if cell.framing == "as cut" else f"; {percent(cell.accuracy_as_cut, 1)} as cut"
