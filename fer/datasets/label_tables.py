"""Labels in CSV files beside the images of a flat folder, as in many collections.

One column names the image (by its path from the table's folder or from the source's, or by its name alone, with or
without the ending), one the class, and one may name the part; their titles are those below in upper or lower case.
Other columns are not read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

from fer.datasets.folder_names import part_named, parts_above
from fer.errors import Faults, FerError
from fer.sources.tables import NoRows, read_table

IMAGE_COLUMNS = ("image", "file", "filename", "path", "filepath", "name", "img", "imagename", "imagepath", "pic")
LABEL_COLUMNS = ("label", "emotion", "class", "expression", "category", "labels")
PART_COLUMNS = ("part", "split", "usage", "set", "subset")


class Labels:
    """What tables say about the images of a source: `annotations` has class and part by the image's path."""

    def __init__(self, images: list[str]):
        self.annotations: dict[str, dict[str, str]] = {}
        self.tables: list[str] = []  # those that have the columns
        self.said_in: dict[str, str] = {}
        self.without_rows: list[FerError] = []
        self.faults = Faults("row")
        self.images: dict[str, list[str]] = defaultdict(list)
        for image in images:
            self.images[PurePosixPath(image).name].append(image)
            self.images[PurePosixPath(image).stem].append(image)

    def read(self, table: str, handle: BinaryIO) -> None:
        """Add what a table says; one without the columns is passed over, and one without rows if another has some."""
        try:
            self.add(table, read_table(handle, table, self.faults))
        except NoRows as error:
            self.without_rows.append(error)

    def add(self, table: str, lines: Iterator[tuple[str, list[str]]]) -> None:
        """Add the rows of a table whose columns name an image and its label; faults are gathered, not raised."""
        titles = [title.lower().replace("_", "").replace(" ", "") for title in next(lines)[1]]
        image, label, part = (column(titles, names) for names in (IMAGE_COLUMNS, LABEL_COLUMNS, PART_COLUMNS))
        if image is None or label is None:
            return
        self.tables.append(table)
        for where, values in lines:
            paths = self.named(values[image], table)
            if len(paths) != 1:
                found = f"is any of {', '.join(paths)}" if paths else "is not among the images"
                self.faults.add(where, f"{values[image]!r} {found}")
                continue
            annotation = {"class": values[label].lower()}
            above = parts_above(paths[0])
            if part is not None:
                above = {part_named(values[part])}
                if above == {None}:
                    self.faults.add(where, f"unknown part {values[part]!r}; expected train, val or test")
                    continue
            if len(above) == 1:
                annotation["part"] = above.pop()
            if self.annotations.setdefault(paths[0], annotation) != annotation:
                self.faults.add(where, f"{values[image]!r} has another label or part in {self.said_in[paths[0]]}")
            self.said_in.setdefault(paths[0], where)

    def named(self, value: str, table: str) -> list[str]:
        """Return the images that a value of the table may mean: the one in its own folder, those of its part, all."""
        parts = [part for part in value.replace("\\", "/").split("/") if part not in ("", ".")]
        if not parts:
            return []
        found = [path for path in self.images.get(parts[-1], []) if ends_with(path, parts)]
        beside = PurePosixPath(table).parent
        own = [path for path in found if PurePosixPath(path).parent == beside.joinpath(*parts[:-1])]
        return own or [path for path in found if part_named(PurePosixPath(table).stem) in parts_above(path)] or found

    def check(self) -> None:
        """Raise a `FerError` for the rows that are wrong, or for tables without rows where no other has any."""
        self.faults.check()
        if self.without_rows and not self.annotations:
            raise FerError("\n".join(map(str, self.without_rows)))


def column(titles: list[str], names: tuple[str, ...]) -> int | None:
    """Return where the first of `names` stands that is among the titles."""
    return next((titles.index(name) for name in names if name in titles), None)


def ends_with(path: str, parts: list[str]) -> bool:
    """Return whether the folders directly above a file are those of `parts`, whose last one is the file's name."""
    return list(PurePosixPath(path).parts[-len(parts) : -1]) == parts[:-1]
