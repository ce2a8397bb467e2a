"""Score the predictions of any system, in any language, on the test part of a protocol, beside the benchmark's own.

A system outside this project needs no port: it classifies the test images, and hands in a CSV file with one row an
image. `export_test` writes the images to classify; `score` reads the answers, refuses what does not fit, and writes the
same predictions and figures that `fer evaluate` leaves of a run (`external/<dataset>.<protocol>/`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fer import params
from fer.errors import FerError
from fer.evaluation.intervals import accuracy_interval
from fer.evaluation.metrics import metrics
from fer.evaluation.predictions import accuracy_line, clusters_of, interval_of, predictions
from fer.layout import Layout
from fer.leakage import leaked
from fer.stages.answers import answers, file_stem, read_answers, rows_of_samples
from fer.storage import read_frame, read_json, read_rows, write_bytes, write_frame, write_json, write_text

SEEN = ("no", "chosen", "yes", "unknown")  # chosen: not trained on them, but its epoch or its rates were chosen by them


@dataclass(frozen=True)
class External:
    """A system outside this project.

    `name` fits the grammar of names, as a study that lists it under `external` demands, and as a file's name must;
    `trained_on` is what its authors say, in words; `saw_test` whether the test images were among it: one of `SEEN`.
    """

    name: str
    trained_on: str = "not stated"
    saw_test: str = "unknown"

    def __post_init__(self):
        try:
            params.valid_name(self.name)
        except ValueError as error:
            raise FerError(f"--name {error}") from error
        if self.saw_test not in SEEN:
            raise FerError(f"--saw-test {self.saw_test}: expected one of {', '.join(SEEN)}")


def score(file: Path, system: External, dataset: str, protocol: str, layout: Layout) -> str:
    """Score a file of predictions; return lines for the terminal.

    Args:
        file: CSV with a row for each test sample. Its column `sample` (row of the dataset's index) or `path` (of the
            image, as the dataset has it or as `export_test` wrote it; the file's own name will do) says which one. Its
            answer is a column `label` with names of classes or expressions, or a column of probabilities for each
            class, `p_<name>` or `<name>`; or both, if they agree.

    Raises:
        FerError: a sample is missing, there twice or not of the test part, or an answer is not a class or
            contradicts itself.
    """
    classes = params.load_dataset(dataset).classes
    table = read_answers(file)
    test = test_samples(dataset, protocol, layout)
    rows = rows_of_samples(table, test, file)
    labels = test["label"].to_numpy()
    probabilities, calibrated = answers(table.iloc[rows], classes, file)
    samples = test["sample"].to_numpy()
    clusters = clusters_of(layout.index(dataset), samples)
    answered = predictions(samples, clusters, labels, probabilities, classes)
    write_frame(layout.external(dataset, protocol, system.name, "parquet"), answered)
    figures = metrics(labels, probabilities.astype(np.float64), classes) | interval_of(answered)
    correct = probabilities.argmax(1) == labels
    clean = ~np.isin(samples, leaked(read_json(layout.audit(dataset, protocol))))
    figures |= {
        "system": system.name,
        "trained_on": system.trained_on,
        "saw_test": system.saw_test,
        "dataset": dataset,
        "protocol": protocol,
        "ece": figures["ece"] if calibrated else None,
        "without_leaked": without_leaked(correct[clean], clusters[clean]),
    }
    write_json(layout.external(dataset, protocol, system.name, "json"), figures)
    return "\n".join(summary(figures))


def without_leaked(correct: np.ndarray, clusters: np.ndarray) -> dict:
    """Return number, accuracy and interval of the test images without a copy; None where there are no such images."""
    if not len(correct):
        return {"n": 0, "accuracy": None, "interval": None}
    found = accuracy_interval(correct, clusters)
    return {"n": len(correct), "accuracy": float(correct.mean()), "interval": [found.low, found.high]}


def summary(figures: dict) -> list[str]:
    """Return the lines for the terminal: accuracy, the same without copies, calibration, and a warning."""
    lines = [accuracy_line("test accuracy", figures)]
    without = figures["without_leaked"]
    if not without["n"]:
        lines.append("every test image has a copy in train: there is no accuracy without them")
    elif without["n"] < figures["n"]:
        found = without | {"interval": {"accuracy": without["interval"]}}
        lines.append(accuracy_line("without images that have a copy in train", found))
    calibration = "not measured: no probabilities" if figures["ece"] is None else f"{figures['ece']:.2%}"
    lines.append(f"balanced accuracy {figures['balanced_accuracy']:.2%}, calibration error {calibration}")
    if figures["saw_test"] == "yes":
        lines.append("Its authors trained it on these test images: the figure is not a test.")
    return lines


def test_samples(dataset: str, protocol: str, layout: Layout) -> pd.DataFrame:
    """Return sample, path and label of every test sample of a protocol, all folds together."""
    split = read_frame(layout.split(dataset, protocol))
    tested = split.loc[split["part"] == "test", "sample"].drop_duplicates().sort_values()
    index = read_frame(layout.index(dataset), ["sample", "path", "label"])
    return index.iloc[tested.to_numpy()].reset_index(drop=True)


def export_test(dataset: str, protocol: str, layout: Layout, folder: Path) -> str:
    """Write the test images as distributed, named by their sample, and `samples.csv` (sample, file, path)."""
    test = test_samples(dataset, protocol, layout)
    wanted = set(test["sample"])
    files = []
    for number, image in enumerate(row["image"] for row in read_rows(layout.raw(dataset), ["image"], 32)):
        if number in wanted:
            files.append(file_stem(number) + suffix_of(image))
            write_bytes(folder / files[-1], image)
    table = test[["sample", "path"]].assign(file=files)[["sample", "file", "path"]]
    write_text(folder / "samples.csv", table.to_csv(index=False, lineterminator="\n"))
    return f"{len(test):,} test images and samples.csv in {folder}"


def suffix_of(image: bytes) -> str:
    """Return the ending of an encoded image by its first bytes."""
    signatures = {b"\x89PNG": ".png", b"\xff\xd8": ".jpg", b"II*\0": ".tiff", b"MM\0*": ".tiff", b"BM": ".bmp"}
    return next((ending for start, ending in signatures.items() if image.startswith(start)), ".img")
