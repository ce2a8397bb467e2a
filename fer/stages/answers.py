"""The answers of a system outside this project: a CSV file with one row per test image, checked before it is scored."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from fer.errors import FerError
from fer.expressions import codes_by_expression, expression_or_none
from fer.params.reading import suggestion
from fer.wording import counted


def read_answers(file: Path) -> pd.DataFrame:
    """Return a file of predictions as texts, its column names in lower case, without blanks around them; the rest is
    unchecked.
    """
    if file.is_dir() or not file.exists():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise FerError(f"{file} {what}; expected a CSV file of predictions")
    try:
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):  # of cells without a column
            # As texts: pandas would read an empty label as a number, and a column of samples by what else is in it
            table = pd.read_csv(file, dtype=str, na_filter=False, encoding="utf-8-sig", index_col=False)
    except (ValueError, pd.errors.ParserWarning) as error:
        raise FerError(f"{file} is not a valid CSV file: {error}") from error
    table.columns = [str(name).strip().lower() for name in table.columns]
    if not table.columns.is_unique:
        raise FerError(f"{file} has two columns {table.columns[table.columns.duplicated()][0]!r}")
    if not len(table):
        raise FerError(f"{file} has no rows")
    return table


def rows_of_samples(table: pd.DataFrame, test: pd.DataFrame, file: Path) -> np.ndarray:
    """Return, for each test sample, the row of `table` that answers it.

    Args:
        test: sample and path of each.
    """
    key = next((name for name in ("sample", "path") if name in table.columns), None)
    if key is None:
        raise FerError(
            f"{file} has the columns {', '.join(table.columns)}; expected `sample` or `path` among them, "
            "with commas between the columns"
        )
    given, wanted = table[key].str.strip(), test[key].astype(str)
    if key == "sample":
        given = given.str.replace(r"^0*(\d+)(\.0*)?$", r"\1", regex=True)  # 000350, as the images are called; 350.0
    else:
        given, wanted = by_path(given.str.replace("\\", "/", regex=False), wanted, test["sample"])
    strays, repeated = given[~given.isin(wanted)], given[given.duplicated()].unique()
    if len(strays):
        raise FerError(
            f"{file} has {counted(len(strays), 'row')} outside the test part, such as "
            f"{strays.iloc[0] or 'one without a ' + key}. Give the test part alone"
        )
    if len(repeated):
        raise FerError(f"{file} answers {counted(len(repeated), 'sample')} more than once, such as {repeated[0]}")
    rows = pd.Series(np.arange(len(table)), index=given).reindex(wanted)
    if (missing := rows.isna()).any():
        first = wanted[missing.to_numpy()].iloc[0]
        raise FerError(f"{file} does not answer {missing.sum():,} of {len(wanted):,} test samples, such as {first}")
    return rows.to_numpy(int)


def by_path(given: pd.Series, wanted: pd.Series, samples: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return the names by which given paths are those of test images: whole, without folders, or as they were written.

    Args:
        wanted: paths of the test images in their dataset.
        samples: their numbers, after which `fer.stages.score.export_test` calls what it writes.
    """
    if given.isin(wanted).any():
        return given, wanted
    names, own = given.map(lambda path: Path(path).name), wanted.map(lambda path: Path(path).name)
    if own.is_unique and names.isin(own).any():
        return names, own
    stems, written = names.map(lambda name: Path(name).stem), samples.map(file_stem)
    return (stems, written) if stems.isin(written).any() else (given, wanted)


def file_stem(sample: int) -> str:
    """Return what a test image is called that is written for another system, without its ending."""
    return f"{sample:06d}"


def answers(table: pd.DataFrame, classes: list[str], file: Path) -> tuple[np.ndarray, bool]:
    """Return float32 (n, classes), and whether they are probabilities that the system gave (else 0 and 1 by label).

    Args:
        table: a row for each test sample; its index is the row of the file.
    """
    columns = columns_of(table, classes, file)
    codes = codes_of(table["label"], classes, file) if "label" in table.columns else None
    lacking = ", ".join(name for code, name in enumerate(classes) if code not in columns)
    if not columns:
        if codes is None:
            raise FerError(f"{file} has neither a column `label` nor a probability for each class: {lacking}")
        return np.eye(len(classes), dtype=np.float32)[codes], False
    if lacking:
        raise FerError(
            f"{file} has probabilities for some classes alone, in {', '.join(columns.values())}; without one: {lacking}"
            ". Give a column for each class, of zeros for one that the system does not know; or leave out all of them, "
            "and give a column `label`"
        )
    given = probabilities(table[[columns[code] for code in range(len(classes))]], file)
    if codes is not None:
        rows = np.arange(len(given))
        apart = np.flatnonzero(given[rows, codes] < given.max(1))
        if len(apart):
            first, said = apart[0], classes[given[apart[0]].argmax()]
            raise FerError(
                f"{file}: in {counted(len(apart), 'row')}, `label` is not the most probable class, such as in row "
                f"{table.index[first] + 1}: {classes[codes[first]]}, where {said} is. `label` is the system's answer, "
                "not the truth; leave out either it or the probabilities"
            )
        tied = given.argmax(1) != codes  # the label says which of several classes it is
        given[rows[tied], codes[tied]] = np.nextafter(given[rows[tied], codes[tied]], np.float32(1))
    return given, True


def columns_of(table: pd.DataFrame, classes: list[str], file: Path) -> dict[int, str]:
    """Return the columns of probabilities by the code of their class.

    Raises:
        FerError: a class has two, or one is of a class that the dataset does not have.
    """
    named, columns = codes_by_expression(classes), {}
    for column in table.columns:
        name = column.removeprefix("p_")
        if (code := named.get(expression_or_none(name))) is None:
            if name == column and not expression_or_none(name):
                continue  # not an answer
            raise FerError(
                f"{file} has a column {column!r}, but the dataset has no such class. Its classes: {', '.join(classes)}"
                ". Leave the column out, and divide the others by their sum"
            )
        if code in columns:
            raise FerError(f"{file} has two columns for {classes[code]}: {columns[code]} and {column}")
        columns[code] = column
    return columns


def probabilities(texts: pd.DataFrame, file: Path) -> np.ndarray:
    """Return a table of texts as probabilities whose rows sum to 1, float32 (n, classes)."""
    values = texts.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    wrong = ~np.isfinite(values) | (values < 0)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise FerError(
            f"{file}: probabilities must be numbers of 0 or more; give probabilities, not logits. Not so in "
            f"{counted(int(wrong.any(1).sum()), 'row')}, such as row {texts.index[row] + 1}: {texts.iat[row, column]!r}"
        )
    sums = values.sum(1, keepdims=True)
    if (abs(sums - 1) > 0.02).any():
        worst = int(abs(sums - 1).argmax())
        raise FerError(
            f"{file}: probabilities must sum to 1; those of row {texts.index[worst] + 1} sum to {sums[worst, 0]:.3f}"
        )
    return (values / sums).astype(np.float32)


def codes_of(labels: pd.Series, classes: list[str], file: Path) -> np.ndarray:
    """Return the code of the class in each cell of a column `label`, int (n,)."""
    named = codes_by_expression(classes)
    codes = [named.get(expression_or_none(name)) for name in labels]
    unknown = [name for name, code in zip(labels, codes, strict=True) if code is None]
    if unknown:
        raise FerError(
            f"{file} has {counted(len(unknown), 'answer')} that the dataset has no class for, such as {unknown[0]!r}"
            f"{suggestion(unknown[0], classes)}. Its classes: {', '.join(classes)}"
        )
    return np.array(codes)
