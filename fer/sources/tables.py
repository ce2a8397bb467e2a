"""Tables of text that lie beside images: one reader, so that all forgive and refuse the same."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from fer.errors import Faults, FerError
from fer.wording import counted

LONGEST_LINE = 1 << 20  # characters; the 2,304 numbers of an image of FER2013 are less than ten thousand
OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}


class NoRows(FerError):
    """A table without any row below its header, or without even that."""

    def __init__(self, name: str, header: bool):
        what = "has no rows: there is only its header" if header else "has no rows: the file is empty"
        super().__init__(f"{name} {what}. Is its download or its copy complete?")


def read_table(handle: BinaryIO, name: str, faults: Faults, headed: bool = True) -> Iterator[tuple[str, list[str]]]:
    """Yield (where it stands, its values without blanks around them) for every line of a CSV file, its header first.

    Lines without any value are skipped and not counted: editors and concatenation leave them. A byte order mark and
    any line endings are read. Very long lines come in pieces, since a file without line ends would fill the memory.
    Rows of another length than the header are passed over and added to `faults`, which the caller checks at the end.

    Args:
        headed: false where the first line may already be a row.

    Raises:
        FerError: the file is not comma-separated text in UTF-8, its columns are separated otherwise, or it has no
            rows (once the header was yielded, if there is one).
    """
    text = io.TextIOWrapper(handle, encoding="utf-8-sig", newline="")
    reader = csv.reader(iter(lambda: text.readline(LONGEST_LINE), ""))
    header: list[str] = []
    count = -1  # of the rows below the header
    try:
        for values in reader:
            values = [value.strip() for value in values]
            if not any(values):
                continue
            if not header:
                header = values
                require_commas(header, name)
                yield f"{name}, line {reader.line_num}", values
                continue
            count += 1
            where = f"{name}, row {count} (line {reader.line_num})"
            if len(values) != len(header):
                short = f"{counted(len(values), 'value')} for {counted(len(header), 'column')}; is the file truncated?"
                faults.add(where, short)
            else:
                yield where, values
        if not header or (headed and count < 0):
            raise NoRows(name, bool(header))
    except (csv.Error, UnicodeDecodeError) as error:
        raise FerError(f"{name} is not a valid CSV file in UTF-8: {error}. Save it as CSV in UTF-8") from error


def read_list(handle: BinaryIO, name: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (where it stands, its values) for every line of a text without a header, its values separated by blanks."""
    text = io.TextIOWrapper(handle, encoding="utf-8-sig")
    empty = True
    try:
        for number, line in enumerate(iter(lambda: text.readline(LONGEST_LINE), ""), 1):
            if values := line.split():
                empty = False
                yield f"{name}, line {number}", values
        if empty:
            raise NoRows(name, header=False)
    except UnicodeDecodeError as error:
        raise FerError(f"{name} is not text in UTF-8: {error}. Save it in UTF-8") from error


def require_commas(header: list[str], name: str) -> None:
    """Refuse a table whose columns are separated otherwise."""
    for mark, words in OTHER_SEPARATORS.items():
        if len(header) == 1 and mark in header[0]:
            raise FerError(
                f"{name}: its columns are separated by {words} ({header[0]!r}), expected commas. "
                "Save it as CSV (comma separated, UTF-8)"
            )
