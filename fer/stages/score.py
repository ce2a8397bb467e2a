"""Score the predictions of any system, in any language, on the test part of a protocol, beside the benchmark's own.

A system outside this project needs no port: it classifies the test images, and hands in a CSV file with one row an
image. `export_test` writes the images to classify; `score` reads the answers, refuses what does not fit, and writes the
same predictions and figures that `fer evaluate` leaves of a run (`external/<dataset>.<protocol>/`).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fer import params
from fer.errors import FerError
from fer.evaluation.intervals import accuracy_interval
from fer.evaluation.metrics import metrics
from fer.evaluation.predictions import accuracy_line, clusters_of, interval_of, predictions
from fer.expressions import expression
from fer.layout import Layout
from fer.leakage import leaked_test
from fer.storage import read_frame, read_json, read_rows, require, write_bytes, write_frame, write_json, write_text
from fer.wording import counted

SEEN = ("no", "chosen", "yes", "unknown")  # chosen: not trained on them, but its epoch or its rates were chosen by them


@dataclass(frozen=True)
class External:
    """A system outside this project.

    `trained_on` is what its authors say, in words; `saw_test` whether the test images were among it: one of `SEEN`.
    """

    name: str
    trained_on: str = "not stated"
    saw_test: str = "unknown"

    def __post_init__(self):
        if self.saw_test not in SEEN:
            raise FerError(f"--saw-test {self.saw_test}: expected one of {', '.join(SEEN)}")


def score(file: Path, system: External, dataset: str, protocol: str, layout: Layout) -> str:
    """Score a file of predictions; return lines for the terminal.

    Args:
        file: CSV with a row for each test sample. Its column `sample` (row of the dataset's index) or `path` (of the
            image, as the dataset has it; the file's own name will do) says which one. Its answer is a column `label`
            with names of classes or expressions, or a column of probabilities for each class, `p_<name>` or `<name>`.

    Raises:
        FerError: a sample is missing, there twice or not of the test part, or an answer is not a class.
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
    folds = read_json(layout.audit(dataset, protocol))["folds"].values()
    clean = ~np.isin(samples, [sample for fold in folds for sample in leaked_test(fold)])
    without = accuracy_interval(correct[clean], clusters[clean])
    figures |= {
        "system": system.name,
        "trained_on": system.trained_on,
        "saw_test": system.saw_test,
        "dataset": dataset,
        "protocol": protocol,
        "ece": figures["ece"] if calibrated else None,
        "without_leaked": {
            "n": int(clean.sum()),
            "accuracy": float(correct[clean].mean()),
            "interval": [without.low, without.high],
        },
    }
    write_json(layout.external(dataset, protocol, system.name, "json"), figures)
    return "\n".join(summary(figures))


def summary(figures: dict) -> list[str]:
    """Return the lines for the terminal: accuracy, the same without copies, calibration, and a warning."""
    lines = [accuracy_line("test accuracy", figures)]
    without = figures["without_leaked"]
    if without["n"] < figures["n"]:
        found = without | {"interval": {"accuracy": without["interval"]}}
        lines.append(accuracy_line("without images that have a copy in train", found))
    calibration = "not measured: no probabilities" if figures["ece"] is None else f"{figures['ece']:.2%}"
    lines.append(f"balanced accuracy {figures['balanced_accuracy']:.2%}, calibration error {calibration}")
    if figures["saw_test"] == "yes":
        lines.append("Its authors trained it on these test images: the figure is not a test.")
    return lines


def read_answers(file: Path) -> pd.DataFrame:
    """Return a file of predictions, its column names without blanks around them, unchecked otherwise."""
    try:
        table = pd.read_csv(require(file), skip_blank_lines=True, encoding="utf-8-sig")
    except (ValueError, pd.errors.ParserError) as error:
        raise FerError(f"{file} is not a valid CSV file: {error}") from error
    table.columns = [str(name).strip() for name in table.columns]
    if not len(table):
        raise FerError(f"{file} has no rows")
    return table


def test_samples(dataset: str, protocol: str, layout: Layout) -> pd.DataFrame:
    """Return sample, path and label of every test sample of a protocol, all folds together."""
    split = read_frame(layout.split(dataset, protocol))
    tested = split.loc[split["part"] == "test", "sample"].drop_duplicates().sort_values()
    index = read_frame(layout.index(dataset), ["sample", "path", "label"])
    return index.iloc[tested.to_numpy()].reset_index(drop=True)


def rows_of_samples(table: pd.DataFrame, test: pd.DataFrame, file: Path) -> np.ndarray:
    """Return of each test sample the row of `table` that answers it."""
    key = next((name for name in ("sample", "path") if name in table.columns), None)
    if key is None:
        raise FerError(f"{file} has the columns {', '.join(table.columns)}; expected `sample` or `path` among them")
    given, wanted = table[key], test[key]
    if key == "path":
        given, wanted = given.astype(str).str.replace("\\", "/"), wanted.astype(str)
        names = wanted.map(lambda path: Path(path).name)
        if not given.isin(wanted).any() and names.is_unique:
            given, wanted = given.map(lambda path: Path(path).name), names
    if (repeated := given[given.duplicated()]).any():
        raise FerError(f"{file} answers {counted(len(repeated), 'sample')} more than once, such as {repeated.iloc[0]}")
    if (strays := given[~given.isin(wanted)]).any():
        raise FerError(
            f"{file}: {len(strays):,} rows are not in the test part, such as {strays.iloc[0]}. Give the test part alone"
        )
    places = pd.Series(np.arange(len(table)), index=given)
    rows = places.reindex(wanted)
    if (missing := rows.isna()).any():
        first = wanted[missing.to_numpy()].iloc[0]
        raise FerError(f"{file} does not answer {missing.sum():,} of {len(wanted):,} test samples, such as {first}")
    return rows.to_numpy(int)


def answers(table: pd.DataFrame, classes: list[str], file: Path) -> tuple[np.ndarray, bool]:
    """Return float32 (n, classes), and whether they are probabilities that the system gave (else 0 and 1 by label)."""
    named = {expression(name): code for code, name in enumerate(classes)}
    columns = {name: class_of(name.removeprefix("p_"), named) for name in table.columns}
    columns = {code: name for name, code in columns.items() if code is not None}
    if len(columns) == len(classes):
        values = table[[columns[code] for code in range(len(classes))]].to_numpy(np.float64)
        if not np.isfinite(values).all() or (values < 0).any():
            raise FerError(f"{file}: probabilities must be numbers of 0 or more; give probabilities, not logits")
        sums = values.sum(1, keepdims=True)
        if (abs(sums - 1) > 0.02).any():
            worst = int(abs(sums - 1).argmax())
            raise FerError(f"{file}: probabilities must sum to 1; those of row {worst + 1} sum to {sums[worst, 0]:.3f}")
        return (values / sums).astype(np.float32), True
    if "label" not in table.columns:
        lacking = [name for code, name in enumerate(classes) if code not in columns]
        raise FerError(
            f"{file} has neither a column `label` nor a probability for each class; without one: {', '.join(lacking)}"
        )
    codes = table["label"].map(lambda name: class_of(str(name), named))
    if (unknown := table["label"][codes.isna()]).any():
        close = difflib.get_close_matches(str(unknown.iloc[0]), classes, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise FerError(
            f"{file}: {len(unknown):,} answers are not a class of the dataset, such as {unknown.iloc[0]!r}{hint}. "
            f"Its classes: {', '.join(classes)}"
        )
    return np.eye(len(classes), dtype=np.float32)[codes.to_numpy(int)], False


def class_of(name: str, named: dict[str, int]) -> int | None:
    """Return the code of a class, named as the dataset does or by a synonym of its expression."""
    try:
        return named.get(expression(name))
    except FerError:
        return None


def export_test(dataset: str, protocol: str, layout: Layout, folder: Path) -> str:
    """Write the test images as distributed, named by their sample, and `samples.csv` (sample, file, path)."""
    test = test_samples(dataset, protocol, layout)
    wanted = set(test["sample"])
    files = []
    for number, image in enumerate(row["image"] for row in read_rows(layout.raw(dataset), ["image"], 32)):
        if number in wanted:
            files.append(f"{number:06d}{suffix_of(image)}")
            write_bytes(folder / files[-1], image)
    table = test[["sample", "path"]].assign(file=files)[["sample", "file", "path"]]
    write_text(folder / "samples.csv", table.to_csv(index=False, lineterminator="\n"))
    return f"{len(test):,} test images and samples.csv in {folder}"


def suffix_of(image: bytes) -> str:
    """Return the ending of an encoded image by its first bytes."""
    signatures = {b"\x89PNG": ".png", b"\xff\xd8": ".jpg", b"II*\0": ".tiff", b"MM\0*": ".tiff", b"BM": ".bmp"}
    return next((ending for start, ending in signatures.items() if image.startswith(start)), ".img")
