"""Tables of text that lie beside images: one reader, so that all forgive and refuse the same."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from fer.errors import FerError

LONGEST_LINE = 1 << 20  # characters; the 2,304 numbers of an image of FER2013 are less than ten thousand
OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}


def read_table(handle: BinaryIO, name: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (where it stands, its values without blanks around them) for every line of a CSV file, its header first.

    Lines without any value are skipped and not counted: editors and concatenation leave them. A byte order mark and
    any line endings are read. Very long lines come in pieces, since a file without line ends would fill the memory.

    Raises:
        FerError: the file is not comma-separated text in UTF-8, or a line has more or fewer values than the header.
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
                raise FerError(f"{where}: {len(values)} values for {len(header)} columns; is the file truncated?")
            yield where, values
    except (csv.Error, UnicodeDecodeError) as error:
        raise FerError(
            f"{name} is not a table of comma-separated values in UTF-8: {error}. Save it as CSV in UTF-8"
        ) from error


def require_commas(header: list[str], name: str) -> None:
    """Refuse a table whose columns are separated otherwise."""
    for mark, words in OTHER_SEPARATORS.items():
        if len(header) == 1 and mark in header[0]:
            raise FerError(
                f"{name}: its columns are separated by {words} ({header[0]!r}), expected commas. "
                "Save it as CSV (comma separated, UTF-8)"
            )
