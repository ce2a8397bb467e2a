"""RAF-DB, basic expressions (Li, Deng and Du, CVPR 2017): 15,339 colour faces, aligned by their owners to 100×100.

Layouts read, packed or not, at any depth:

    basic/Image/aligned.zip → aligned/train_00001_aligned.jpg, aligned/test_0001_aligned.jpg, with
    basic/EmoLabel/list_patition_label.txt        lines such as "train_00001.jpg 5" (the misspelling is official)

    DATASET/{train,test}/<1..7>/train_00001_aligned.jpg    the folder form (test may be called valid or val, a class may
                                                  be named, parts may lie below the classes), with or without
    train_labels.csv, test_labels.csv             columns image,label: folder and table must agree

Codes: 1 surprise, 2 fear, 3 disgust, 4 happiness, 5 sadness, 6 anger, 7 neutral; the label is the code less one.
Official parts: train and test. Subjects are not known. The photographs before alignment (`basic/Image/original`) and
the compound set, whose images have the same names, are left out.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np

from fer import sources
from fer.datasets import Adapter, Faults, Original, Sample, register, synthetic
from fer.datasets.folder_names import class_folder, parts_above
from fer.errors import FerError
from fer.expressions import expression, expression_or_none
from fer.parallel import ordered_map
from fer.sources.tables import NoRows, read_list, read_table
from fer.wording import counted, examples

EMOTIONS = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")  # codes 1 to 7
OFFICIAL_LIST = "list_patition_label.txt"
LIST = re.compile(r"(list_par?tition_label\.txt|(train|test|val|valid)_labels\.csv)", re.IGNORECASE)
LISTED = re.compile(r"(?P<part>train|test)_(?P<number>\d+)(_aligned)?\.\w+", re.IGNORECASE)
IMAGE = re.compile(r"(?:^|/)(?P<part>train|test)_(?P<number>\d+)_aligned\.\w+$", re.IGNORECASE)
COMPOUND = re.compile(r"(^|/)compound(\.\w+)*/", re.IGNORECASE)


class Face(NamedTuple):
    """What distinguishes an image from the others: `train_00001` is ("train", 1)."""

    part: str
    number: int


class Label(NamedTuple):
    """The official code of an image (1 to 7), as text, and the place that states it."""

    code: str
    where: str  # the file and line that says so


@register
class RafDb(Adapter):
    """RAF-DB, single expressions: aligned images, with a list of labels or class folders."""

    def originals(self, source: Path) -> Iterator[Original]:
        """Yield every aligned image that has a label; images of the compound set are left out."""
        codes = self.survey(source)
        for path, handle in sources.files(source):
            if path in codes:
                yield Original(path, handle.read(), {"label": codes[path]})

    def survey(self, source: Path) -> dict[str, str]:
        """Return the code of every aligned image by its path, before any image is read.

        Raises:
            FerError: an image without a label or a label without an image, two of either, or two that disagree.
        """
        labels: dict[Face, Label] = {}
        images: dict[Face, str] = {}
        faults = Faults()
        for path, handle in sources.files(source):
            match = IMAGE.search(path) if sources.is_image_name(path) else None
            if COMPOUND.search(path):
                self.leave_out(path, "of the compound set")
            elif LIST.fullmatch(PurePosixPath(path).name):
                self.read_labels(path, handle, labels)
            elif match:
                other = images.setdefault(face := identity(match), path)
                if other != path:
                    faults.say(f"{path} and {other} are the same image {face.part}_{face.number}")
            elif sources.is_image_name(path):
                self.leave_out(path, "not an aligned face (its name does not end in _aligned)")
            else:
                self.leave_out(path, "not named as an image")
        faults.check()
        return self.match(source, images, labels)

    def read_labels(self, path: str, handle: BinaryIO, labels: dict[Face, Label]) -> None:
        """Add what a label list (separated by blanks) or a table (by commas, header or not) says to `labels`."""
        table, faults = path.lower().endswith(".csv"), Faults("row")
        lines = read_table(handle, path, faults, headed=False) if table else read_list(handle, path)
        before = len(labels)
        for number, (where, values) in enumerate(lines):
            if table and number == 0 and values == ["image", "label"]:
                continue
            match = LISTED.fullmatch(values[0])
            if match is None or len(values) != 2:
                expected = "train_00001_aligned.jpg,5" if table else "train_00001.jpg 5"
                faults.add(
                    where,
                    f"{(',' if table else ' ').join(values)!r}; expected the name of an image and its code, such as "
                    f"{expected!r}",
                )
                continue
            with faults.of(where):
                self.check(values[1], where)
            label = labels.setdefault(identity(match), Label(values[1], where))
            if label.where != where:
                faults.add(where, f"{values[0]} has a label already ({label.where})")
        faults.check()
        if len(labels) == before:
            raise NoRows(path, header=True)

    def match(self, source: Path, images: dict[Face, str], labels: dict[Face, Label]) -> dict[str, str]:
        """Return the code of every image by its path: from a list, from its folder, or from both if they agree."""
        listed = {face.part for face in labels}
        codes, unlabelled, faults = {}, [], Faults()
        for face, path in images.items():
            folder = class_folder(path)
            own = (
                folder if folder.isdecimal() and len(folder) < 3 else code_named(folder)
            )  # numbered or named class folders, or neither
            with faults.of(path):
                if own:
                    self.check(own, path)
                self.check_part(face.part, path)
                if face in labels:
                    code, where = labels[face]
                    if own and own != code:
                        raise FerError(f"{path}: lies in the folder of {own}, but is {code} in {where}")
                    codes[path] = code
                elif own and face.part not in listed:
                    codes[path] = own
                else:
                    unlabelled.append(path)
        faults.check()
        if unlabelled:
            raise FerError(
                f"{source}: {counted(len(unlabelled), 'image has', 'images have')} no label, such as "
                f"{examples(unlabelled)}. Expected "
                f"one for each in {OFFICIAL_LIST} or {{train,test}}_labels.csv, or folders 1 to {len(EMOTIONS)}. "
                "The source is the folder that holds both images and labels"
            )
        missing = [f"{face.part}_{face.number} ({label.where})" for face, label in labels.items() if face not in images]
        if missing:
            raise FerError(
                f"{source}: {counted(len(missing), 'label has', 'labels have')} no image, such as {examples(missing)}. "
                "Expected the images of aligned.zip beside them; is a file incomplete?"
            )
        return codes

    def check_part(self, part: str, path: str) -> None:
        """Refuse an image whose name says one part and whose folders another; `valid` is what some call the test."""
        said = parts_above(path)
        if said and said.isdisjoint({"train"} if part == "train" else {"test", "val"}):
            raise FerError(f"{path}: its name says the part {part!r}, its folder {', '.join(sorted(said))!r}")

    def check(self, code: str, where: str) -> None:
        """Refuse a code other than 1 to 7."""
        codes = [str(number + 1) for number in range(len(EMOTIONS))]
        if code not in codes:
            raise FerError(f"{where}: unknown code {code!r}; expected 1 to {codes[-1]} ({', '.join(EMOTIONS)})")

    def describe(self, path: str, annotation: dict[str, str]) -> Sample:
        """Return the sample: the class from the code, the part from the file's name."""
        label = self.code(EMOTIONS[int(annotation["label"]) - 1], path)
        return Sample(label=label, part=identity(IMAGE.search(path)).part)

    def write_synthetic(self, samples: int, target: Path) -> Path:
        """Write the official `basic/` folder, parts and classes in its proportions; no subject is in two parts."""
        images, labels = target / "basic/Image/aligned.zip", target / "basic/EmoLabel" / OFFICIAL_LIST
        for path in (images, labels):
            path.parent.mkdir(parents=True)
        plan = self.plan(samples)
        with zipfile.ZipFile(images, "w") as archive:
            for (name, _, _), jpeg in zip(plan, ordered_map(render_image, [face for _, _, face in plan]), strict=True):
                archive.writestr(f"aligned/{name}_aligned.jpg", jpeg)
        labels.write_text("".join(f"{name}.jpg {code}\n" for name, code, _ in plan), encoding="utf-8")
        return target

    def plan(self, samples: int) -> list[tuple[str, int, tuple[str, int, int]]]:
        """Return (name, official code, (expression, subject, take)) of every image to draw, in the list's order."""
        official = self.parameters.official_counts
        total = sum(map(sum, official.values()))
        plan, subject = [], 0
        for part, digits in (("train", 5), ("test", 4)):
            counts = synthetic.proportional(round(samples * sum(official[part]) / total), official[part], least=2)
            labels = np.repeat(range(len(self.classes)), counts)
            np.random.default_rng(len(labels)).shuffle(labels)
            for number, label in enumerate(labels.tolist()):
                name = expression(self.classes[label])
                face = (name, subject + number // IMAGES_A_SUBJECT, number)
                plan.append((f"{part}_{number + 1:0{digits}}", EMOTIONS.index(name) + 1, face))
            subject += len(labels) // IMAGES_A_SUBJECT + 1
        return plan


def code_named(folder: str) -> str | None:
    """Return the official code of the expression that a folder is named after, None where it is not."""
    name = expression_or_none(folder)
    return str(EMOTIONS.index(name) + 1) if name in EMOTIONS else None


def identity(match: re.Match) -> Face:
    """Return the part and the number that a matched file name states."""
    return Face(match["part"].lower(), int(match["number"]))


# --- the synthetic source -------------------------------------------------------------------------------------------

SEED = 107  # these people are in no other dataset
SIDE = 100
IMAGES_A_SUBJECT = 8


def render_image(face: tuple[str, int, int]) -> bytes:
    """Return one face (expression, subject, take) as JPEG."""
    return cv2.imencode(".jpg", synthetic.render(*face, size=SIDE, seed=SEED).visible)[1].tobytes()
