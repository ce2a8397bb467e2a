"""FER2013 (Goodfellow et al., Challenges in Representation Learning, ICONIP 2013): 35,887 grey images of 48×48.

Layouts read, packed or not, at any depth:

    fer2013.tar.gz → fer2013/fer2013.csv          columns emotion,pixels,Usage
    icml_face_data.csv                            columns emotion, Usage, pixels (leading blanks)
    train.csv                                     columns emotion,pixels: only the Training images
    train/<class>/Training_<n>.jpg                the folder form, with
    test/<class>/{PublicTest,PrivateTest}_<n>.jpg, where class is a name or an official code; part folders may have
                                                  other names or lie below the classes: Usage is in the image's name

Classes: 0 angry, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, 6 neutral. Subjects are not known.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import cv2
import numpy as np

from fer import sources
from fer.datasets import Adapter, Faults, Original, Sample, register, synthetic
from fer.datasets.folder_names import class_folder, parts_above
from fer.errors import FerError
from fer.expressions import expression
from fer.parallel import ordered_map
from fer.sources.tables import read_table
from fer.storage import atomic

SIDE = 48
IMAGES_A_SUBJECT = 8  # of the synthetic source
USAGES = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
TABLES = ("fer2013.csv", "icml_face_data.csv", "train.csv")  # in order of preference: the first holds everything
EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")  # by the table's code
PLAIN_NUMBERS = re.compile("[0-9][0-9 ]*")
FOLDER_FORM = re.compile(r"(?:^|/)[^/]+/(?P<usage>[^/_]+)_(?P<number>\d+)\.\w+$")


@register
class Fer2013(Adapter):
    """FER2013, from its table of pixels or from folders of images."""

    def originals(self, source: Path) -> Iterator[Original]:
        """Yield the rows of the preferred table as PNG; without a table, the images of the folders as they are."""
        found = sources.names(source)
        tables = [name for want in TABLES for name in found if name.lower().rpartition("/")[2] == want]
        if not tables:
            yield from self.folders(source)
            return
        for name in found:
            if name not in (tables[0], *self.companions(found)):
                self.leave_out(name, f"{PurePosixPath(tables[0]).name} is read")
        with sources.opened(source, tables[0]) as handle:
            yield from self.table(tables[0], handle)

    def companions(self, found: list[str]) -> list[str]:
        """Return the files that are read beside the table."""
        return []

    def table(self, name: str, handle: BinaryIO) -> Iterator[Original]:
        """Yield the rows of a CSV form; the path of an original is the table's name and the row, counted from 0."""
        faults = Faults("row")
        lines = read_table(handle, name, faults)
        _, header = next(lines)
        if not {"emotion", "pixels"} <= set(header) <= {"emotion", "pixels", "Usage"}:
            raise FerError(
                f"{name}: its columns are {', '.join(header)}; expected emotion, pixels and Usage (in train.csv "
                "emotion and pixels alone)"
            )
        for number, (where, values) in enumerate(lines):
            row = dict(zip(header, values, strict=True))
            annotation = {"emotion": row["emotion"], "usage": row.get("Usage", "Training")}
            with faults.of(where):
                self.check(annotation, where)
                png = cv2.imencode(".png", parse_pixels(row["pixels"], where))[1].tobytes()
            if not faults.found:  # the first fault decides that nothing is kept
                yield Original(f"{name}#{number}", png, annotation)
        faults.check()

    def folders(self, source: Path) -> Iterator[Original]:
        """Return the images of the folder form, once each; their names hold the part, their folders the class."""
        return self.each_once(source, identity, "not an image of the folder form")

    def describe(self, path: str, annotation: dict[str, str]) -> Sample:
        """Return the sample: class and part from the table's columns, otherwise from folder and name."""
        if annotation:
            self.check(annotation, path)
            label, usage = EMOTIONS[int(annotation["emotion"])], annotation["usage"]
        else:
            label, usage = class_folder(path), FOLDER_FORM.search(path)["usage"]
            self.check_usage(usage, path)
            if label.isdecimal() and int(label) < len(EMOTIONS):
                label = EMOTIONS[int(label)]  # the official codes
            if "train" in parts_above(path) and usage != "Training":
                raise FerError(f"{path}: its name says {usage}, its folder train")
        return Sample(label=self.code(label, path), part=USAGES[usage])

    def check(self, annotation: dict[str, str], where: str) -> None:
        """Refuse a row whose emotion is not one of the codes 0 to 6, or whose Usage is unknown."""
        emotion = annotation["emotion"]
        if not (emotion.isascii() and emotion.isdigit() and len(emotion) < 3 and int(emotion) < len(EMOTIONS)):
            raise FerError(f"{where}: unknown label {emotion!r}; expected 0 to {len(EMOTIONS) - 1}")
        self.check_usage(annotation["usage"], where)

    def check_usage(self, usage: str, where: str) -> None:
        """Refuse a Usage that is not Training, PublicTest or PrivateTest."""
        if usage not in USAGES:
            raise FerError(f"{where}: unknown Usage {usage!r}; expected {', '.join(USAGES)}")

    def write_synthetic(self, samples: int, target: Path) -> Path:
        """Write `fer2013.tar.gz`, parts and classes in official proportions; no subject is in two parts."""
        archive = target / "fer2013.tar.gz"
        plan = self.plan(samples)
        with atomic(target / "fer2013.csv") as scratch, open(scratch, "w", encoding="utf-8") as table:
            table.write("emotion,pixels,Usage\n")
            images = ordered_map(render_pixels, [face for _, face, _ in plan])
            for (code, _, usage), pixels in zip(plan, images, strict=True):
                table.write(f"{code},{pixels},{usage}\n")
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
            tar.add(target / "fer2013.csv", "fer2013/fer2013.csv")
        return archive

    def plan(self, samples: int) -> list[tuple[int, tuple[str, int, int], str]]:
        """Return (the table's code, (expression, subject, take), usage) of every image to draw, in its order."""
        official = self.parameters.official_counts
        total = sum(map(sum, official.values()))
        plan, subject = [], 0
        for usage, part in USAGES.items():
            codes = [
                code for code, count in enumerate(official[part]) for _ in range(max(2, round(samples * count / total)))
            ]
            np.random.default_rng(len(codes)).shuffle(codes)
            for number, code in enumerate(codes):
                name = expression(self.classes[code])
                plan.append((EMOTIONS.index(name), (name, subject + number // IMAGES_A_SUBJECT, number), usage))
            subject += len(codes) // IMAGES_A_SUBJECT + 1
        return plan


def identity(path: str) -> str | None:
    """Return part and number of an image of the folder form, such as "Training_12"; None for any other file."""
    match = FOLDER_FORM.search(path)
    return match and f"{match['usage']}_{match['number']}"


def render_pixels(face: tuple[str, int, int]) -> str:
    """Return one synthetic face as FER2013 writes it: 2,304 numbers from 0 to 255."""
    grey = cv2.cvtColor(synthetic.render(*face, size=2 * SIDE).visible, cv2.COLOR_BGR2GRAY)
    return " ".join(map(str, cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).ravel()))


def parse_pixels(text: str, where: str) -> np.ndarray:
    """Return the 48×48 uint8 image written as 2,304 numbers from 0 to 255."""
    try:
        plain = PLAIN_NUMBERS.fullmatch(text)  # NumPy reads them seven times as fast, but says less of other text
        values = np.fromstring(text, np.int64, sep=" ") if plain else np.array([int(value) for value in text.split()])
    except ValueError as error:
        raise FerError(f"{where}: pixels must be whole numbers ({error})") from error
    if len(values) != SIDE * SIDE:
        raise FerError(f"{where}: {len(values)} pixels, expected {SIDE * SIDE}; is the file truncated?")
    if values.min() < 0 or values.max() > 255:
        raise FerError(f"{where}: pixel values from {values.min()} to {values.max()}, expected 0 to 255")
    return values.astype(np.uint8).reshape(SIDE, SIDE)
