"""Systems outside this project beside those of a study, on the same test images (`fer score`)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fer.evaluation.significance import paired_test
from fer.layout import Layout
from fer.params import Study
from fer.reporting.comparison import any_synthetic, protocol_of
from fer.reporting.results import Result
from fer.reporting.tables import Table, percent, points, span
from fer.storage import read_frame, read_json

SAW = {"no": "no", "chosen": "chosen by them", "yes": "YES: not a test", "unknown": "unknown"}
NOTE = (
    "Programs outside this project, scored by `fer score` on the test part of a protocol, beside the study's sound "
    "experiments on the same images. 'Difference' is their accuracy less that of the experiment in 'against', "
    "in points with the 95 % interval and the p-value of the paired difference; those stand for one comparison each, "
    "without a correction for their number. 'Without copies' is the accuracy on test images that have no exact or near "
    "copy in the protocol's train. What they were trained on, and whether they saw the test images, is what was stated "
    "when they were scored. ECE is missing where a program gave only labels."
)
COLUMNS = (
    "system", "protocol", "accuracy %", "95 % interval", "n", "without copies %", "balanced %", "macro F1 %", "ECE %",
    "trained on", "saw the test images?", "against", "difference", "p",
)  # fmt: skip


def table(study: Study, results: list[Result]) -> Table:
    """Each system under `external` of the study, once for each sound experiment that was tested on the same part."""
    rows, numbers, beside = [], [], []
    for place in study.external:
        dataset, protocol, name = place.split(":")
        layout = Layout(Path(study.root))
        figures = read_json(layout.external(dataset, protocol, name, "json"))
        answers = read_frame(layout.external(dataset, protocol, name, "parquet"))
        own = [result for result in results if result.kind == "sound" and tested_on(result) == (dataset, protocol)]
        beside += own
        for result in own or [None]:
            pair = None if result is None else paired_test(answers, result.predictions)
            against = "no sound experiment on this part" if result is None else result.name
            rows.append(outside_row(figures, against, pair))
            numbers.append(values(figures, None if result is None else result.name, pair))
    shown = list({result.name: result for result in beside}.values())
    ours = [own_row(result) for result in shown]
    frame = pd.DataFrame([*ours, *rows], columns=list(COLUMNS))
    return Table(
        "external", "Other programs on the same test images", NOTE, frame, pd.DataFrame(numbers), any_synthetic(shown)
    )


def tested_on(result: Result) -> tuple[str, str]:
    return result.experiment.dataset, result.experiment.protocol


def outside_row(figures: dict, against: str, pair: dict | None) -> dict[str, str]:
    without = figures["without_leaked"]
    return {
        "system": figures["system"],
        "protocol": figures["protocol"].replace("_", " "),
        "accuracy %": percent(figures["accuracy"]),
        "95 % interval": span(*figures["interval"]["accuracy"]),
        "n": f"{figures['n']:,}",
        "without copies %": f"{percent(without['accuracy'])} ({span(*without['interval'])})" if without["n"] else "–",
        "balanced %": percent(figures["balanced_accuracy"]),
        "macro F1 %": percent(figures["macro_f1"]),
        "ECE %": percent(figures["ece"]),
        "trained on": figures["trained_on"],
        "saw the test images?": SAW[figures["saw_test"]],
        "against": against,
        "difference": "other test images"
        if pair is None
        else points(*(pair[key] for key in ("difference", "low", "high"))),
        "p": "" if pair is None else f"{pair['p']:.3g}",
    }


def own_row(result: Result) -> dict[str, str]:
    """Return one of ours, as far as it has the same columns."""
    return {
        "system": result.name,
        "protocol": protocol_of(result),
        "accuracy %": result.plus_minus("accuracy"),
        "95 % interval": span(result.interval.low, result.interval.high),
        "n": f"{result.n:,}",
        "without copies %": "variants" if result.losses.copies is None else percent(result.losses.without_copies),
        "balanced %": result.plus_minus("balanced_accuracy"),
        "macro F1 %": result.plus_minus("macro_f1"),
        "ECE %": result.plus_minus("ece"),
        "trained on": f"{result.first.dataset.title}: {result.trained}",
        "saw the test images?": "no" if result.parameters["recipe"]["choose_epoch_on"] == "val" else SAW["chosen"],
        "against": "",
        "difference": "",
        "p": "",
    }


def values(figures: dict, against: str | None, pair: dict | None) -> dict:
    """Return a row unrounded; fractions lie in [0, 1]."""
    low, high = figures["interval"]["accuracy"]
    kept = ("system", "dataset", "protocol", "trained_on", "saw_test", "n", "accuracy")
    return (
        {key: figures[key] for key in kept}
        | {"accuracy_low": low, "accuracy_high": high}
        | {f"without_copies_{key}": figures["without_leaked"][key] for key in ("n", "accuracy")}
        | {key: figures[key] for key in ("balanced_accuracy", "macro_f1", "ece")}
        | {"against": against}
        | {key: pair and pair[key] for key in ("difference", "low", "high", "p", "test")}
    )
