"""FER+ (Barsoum et al., ICMI 2016): the images of FER2013, each relabelled by ten people.

Layouts read: FER2013's table of pixels, packed or not (see `fer.datasets.fer2013`), with the votes beside it:

    fer2013new.csv                                columns Usage, Image name, and how many of the ten people chose
                                                  neutral, happiness, surprise, sadness, anger, disgust, fear,
                                                  contempt, unknown, NF (not a face)

One row of votes belongs to one row of the table, in the same order; so FER2013's folder form, which has lost the
order, does not do, and `Image name` is not used (it is empty, out of order or repeated on some 180 official rows).

Classes: the first eight columns; parts are FER2013's. The label is the column with the most votes, the first of equals.
`votes` are the shares of the eight classes among the votes for them, single votes included. Images with the most votes
for unknown or NF are left out. Its authors' code leaves them out too, and more, depending on how it trains (majority:
all without a column that has over half of the votes). Work that counts 3,573 test images leaves out the 16 NF alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, zip_longest
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NoReturn

import numpy as np

from fer import sources
from fer.datasets import Faults, Original, Sample, register, synthetic
from fer.datasets.fer2013 import EMOTIONS, IMAGES_A_SUBJECT, USAGES, Fer2013
from fer.errors import FerError
from fer.sources.tables import read_table

TABLE = "fer2013new.csv"
NO_EMOTION = {"unknown": "most votes are for unknown", "NF": "most votes are for NF (not a face)"}
LEAST_AGREEMENT, FEWEST_ROWS = 0.4, 500  # of FER2013's label and most votes, in tables of so many rows
AGREEMENT = (0.55, 0.95)  # share of a synthetic image's votes that its class gets, before they are drawn


@register
class FerPlus(Fer2013):
    """FER+: FER2013's table with the votes beside it, joined row by row."""

    @property
    def columns(self) -> list[str]:
        """The ten columns of votes in the official order: the classes, unknown, and NF."""
        return [*self.classes, *NO_EMOTION]

    def originals(self, source: Path) -> Iterator[Original]:
        """Yield the rows of FER2013's table in which most people see an expression, with their votes.

        Raises:
            FerError: the two tables differ in length or Usage, or agree so little that one must be sorted otherwise.
        """
        pairs = zip_longest(super().originals(source), self.votes(source))
        number, agreeing = -1, 0
        for number, (original, votes) in enumerate(pairs):
            if original is None or votes is None:
                short, long = (TABLE, "FER2013's table") if votes is None else ("FER2013's table", TABLE)
                rest = 1 + sum(1 for _ in pairs)
                raise FerError(
                    f"{source}: {short} ends after {number:,} rows, {long} has {number + rest:,}. "
                    "Votes belong to images row by row: both files must be whole, or cut alike"
                )
            usage = votes.pop("Usage")
            if usage != original.annotation["usage"]:
                raise FerError(
                    f"{source}: row {number} is {original.annotation['usage']!r} in {original.path}, but {usage!r} in "
                    f"{TABLE}. Votes belong to images row by row: both files must be in the official order"
                )
            agreeing += EMOTIONS[int(original.annotation["emotion"])] == self.plurality(votes)
            if reason := NO_EMOTION.get(self.plurality(votes)):
                self.leave_out(original.path, reason)
            else:
                yield Original(original.path, original.image, original.annotation | votes)
        if number + 1 >= FEWEST_ROWS and agreeing < LEAST_AGREEMENT * (number + 1):
            raise FerError(
                f"{source}: in {agreeing / (number + 1):.0%} of the rows most votes are for FER2013's own label; in "
                "the official order it is about 63 %, by chance 18 %. Is one of the two tables sorted differently?"
            )

    def companions(self, found: list[str]) -> list[str]:
        """Return the table of votes, which is read beside the table of pixels."""
        return [name for name in found if PurePosixPath(name).name.lower() == TABLE]

    def folders(self, source: Path) -> NoReturn:
        """Refuse the folder form of FER2013, which has lost the order of the rows."""
        raise FerError(
            f"{source} holds no table of pixels (fer2013.csv, alone or in fer2013.tar.gz). FER+ needs it: its votes "
            "follow the table's order of rows, which FER2013's folders of images do not keep"
        )

    def votes(self, source: Path) -> Iterator[dict[str, str]]:
        """Yield the Usage and the ten counts of every row of the votes beside or in `source`."""
        found = [name for name in sources.names(source) if PurePosixPath(name).name.lower() == TABLE]
        if not found and source.is_file():
            source, found = source.parent, [i.name for i in source.parent.iterdir() if i.name.lower() == TABLE]
        if len(found) != 1:
            given = f"{len(found)} tables of votes ({', '.join(found)})" if found else f"no {TABLE}"
            raise FerError(f"{source}: {given}; expected one beside FER2013's table: {self.parameters.obtain}")
        with sources.opened(source, found[0]) as handle:
            yield from self.votes_table(found[0], handle)

    def votes_table(self, name: str, handle: BinaryIO) -> Iterator[dict[str, str]]:
        """Yield the rows of the table of votes, its column `Image name` left out, once their numbers are checked."""
        faults = Faults("row")
        lines = read_table(handle, name, faults)
        _, header = next(lines)
        expected = ["Usage", "Image name", *self.columns]
        if header != expected:
            raise FerError(f"{name}: its columns are {', '.join(header)}; expected {', '.join(expected)}")
        for where, values in lines:
            row = {column: value for column, value in zip(header, values, strict=True) if column != "Image name"}
            counts = [row[column] for column in self.columns]
            whole = all(count.isascii() and count.isdigit() and len(count) < 6 for count in counts)
            if not (whole and sum(map(int, counts))):
                faults.add(where, f"votes {', '.join(counts)}; expected whole numbers, not all of them 0")
            if not faults.found:
                yield row
        faults.check()

    def plurality(self, annotation: dict[str, str]) -> str:
        """Return the column with the most votes, the first of equals."""
        return max(self.columns, key=lambda column: int(annotation[column]))

    def describe(self, path: str, annotation: dict[str, str]) -> Sample:
        """Return the sample: the class with the most votes, and the shares of the eight classes as `votes`."""
        counts = np.array([int(annotation[name]) for name in self.classes])
        label = self.classes.index(self.plurality(annotation))
        return Sample(label, USAGES[annotation["usage"]], votes=(counts / counts.sum()).tolist())

    def write_synthetic(self, samples: int, target: Path) -> Path:
        """Write FER2013's archive and the votes beside it; some faces are voted unknown or no face."""
        archive = super().write_synthetic(samples, target)
        generator = np.random.default_rng(samples)
        with open(target / TABLE, "w", encoding="utf-8") as table:
            table.write(",".join(["Usage", "Image name", *self.columns]) + "\n")
            for row, (column, usage) in enumerate(self.intended(samples)):
                name = "" if column == "NF" else f"fer{row:07}.png"
                votes = draw_votes(self.columns.index(column), len(self.columns), generator)
                table.write(",".join([usage, name, *map(str, votes)]) + "\n")
        return archive

    def plan(self, samples: int) -> list[tuple[int, tuple[str, int, int], str]]:
        """Return what `Fer2013.plan` does; a face voted unknown or NF is drawn as neutral."""
        plan, first = [], 0
        for usage, rows in groupby(self.intended(samples), key=lambda row: row[1]):
            for number, (column, _) in enumerate(rows):
                shown = "neutral" if column in NO_EMOTION else column
                code = EMOTIONS.index("neutral" if shown == "contempt" else shown)  # FER2013 knows no contempt
                plan.append((code, (shown, first + number // IMAGES_A_SUBJECT, number), usage))
            first = plan[-1][1][1] + 1  # no subject is in two parts
        return plan

    def intended(self, samples: int) -> list[tuple[str, str]]:
        """Return (column with the most votes, usage) of every synthetic row, in official proportions."""
        official = self.parameters.official_counts
        total = sum(map(sum, official.values()))
        rows = []
        for usage, part in USAGES.items():
            counts = synthetic.proportional(round(samples * sum(official[part]) / total), official[part], least=2)
            columns = np.repeat(self.columns, [*counts, 1, 1])
            np.random.default_rng(len(columns)).shuffle(columns)
            rows += [(column, usage) for column in columns.tolist()]
        return rows


def draw_votes(column: int, columns: int, generator: np.random.Generator) -> list[int]:
    """Return ten people's votes, scattered around a column that gets the most."""
    share = generator.uniform(*AGREEMENT)
    shares = np.full(columns, (1 - share) / (columns - 1))
    shares[column] = share
    while (votes := generator.multinomial(10, shares)).argmax() != column:
        pass
    return votes.tolist()
