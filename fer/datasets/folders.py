r"""A dataset of your own: a folder for each class. It is added by one parameter file, with `adapter: folders`.

Layout read, packed or not:

    [train|val|valid|validation|test/]<class>/…/<image>

with params/datasets/mine.yaml (`fer.params.Dataset` says what else may stand there):

    title: Mine
    citation: none
    obtain: "the lab's server, folder faces"
    adapter: folders
    options: {subject: '/(S\d+)_'}
    classes: [angry, happy, neutral]
    source: /path/to/the/folder/or/archive
    samples: 200                              # of the synthetic source, to try the line without the files
    alignment: {crop: similarity, size: 96, channels: 3, enlarge: [1, 2], padding: 0, missing: drop}

Class folders bear the names of the `classes` in the parameter file, or synonyms of them (angry for anger, joy for
happiness), in upper or lower case. Folders around all of it do not matter, nor those between a class and its images.
Each part and each class may be an archive of its own (train.zip, happy.tar.gz). Parts are the folders above the
classes; all images have one or none has.

Option `subject`: a regular expression with one group, searched in the path of each image, whose group is the subject:
`subject: '/(S\d+)_'` reads S012 from train/happy/S012_3.png. Without it, no protocol by subject can be used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from fer import sources
from fer.datasets import Adapter, Original, Sample, register, synthetic
from fer.errors import FerError
from fer.expressions import expression
from fer.parallel import ordered_map
from fer.params import Dataset

PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
SHARES = {"train": 0.70, "val": 0.15, "test": 0.15}  # of the synthetic source, unless official counts tell others
SEED = 104  # these people are in no other dataset
ARCHIVE = re.compile(r"\.(zip|7z|tgz|tbz2|txz|tar(\.\w+)?)$")


@register
class Folders(Adapter):
    def __init__(self, parameters: Dataset, *, subject: str | None = None):
        super().__init__(parameters)
        for name in self.classes:
            expression(name)  # one that is not known is an error here, rather than its folder's later
        try:
            self.subject = None if subject is None else re.compile(subject)
        except re.error as error:
            raise FerError(f"options.subject: {subject!r} is no regular expression: {error}") from error
        if self.subject is not None and self.subject.groups != 1:
            raise FerError(
                f"options.subject: {subject!r} has {self.subject.groups} groups; expected one pair of brackets, "
                "around the subject, such as '/(S\\d+)_' (other brackets begin with ?:)"
            )

    def originals(self, source: Path) -> Iterator[Original]:
        annotations = self.annotate(sources.names(source))
        for path, handle in sources.files(source):
            if path in annotations:
                yield Original(path, sources.require_image(path, handle.read()), annotations[path])

    def annotate(self, paths: list[str]) -> dict[str, dict[str, str]]:
        """Return {path: class folder and part} of every image; leave out what is none."""
        above: dict[str, list[str]] = {}
        for path in paths:
            if sources.is_image_name(path):
                above[path] = [ARCHIVE.sub("", folder.lower()) for folder in PurePosixPath(path).parts[:-1]]
            else:
                self.leave_out(path, "not named as an image")
        around = self.depth_around(list(above.values()))
        annotations: dict[str, dict[str, str]] = {}
        for path, folders in above.items():
            part, inside = part_of(folders[around:])
            if inside:
                annotations[path] = {"class": inside[0]} | ({"part": part} if part else {})
            else:
                self.leave_out(path, "in no class folder")
        self.check(annotations)
        return annotations

    def depth_around(self, paths: list[list[str]]) -> int:
        """Return how many folders lie around all images without being a part or a class."""
        shortest = min(map(len, paths), default=0)
        for depth in range(shortest):
            folder = paths[0][depth]
            if folder in PARTS or self.knows(folder) or any(folders[depth] != folder for folders in paths):
                return depth
        return shortest

    def knows(self, folder: str) -> bool:
        try:
            self.code(folder, folder)
        except FerError:
            return False
        return True

    def check(self, annotations: dict[str, dict[str, str]]) -> None:
        classes = {item["class"]: path for path, item in reversed(annotations.items())}
        unknown = [name for name in sorted(classes) if not self.knows(name)]
        if unknown:
            raise FerError(
                f"unknown class folders {', '.join(unknown)} (such as that of {classes[unknown[0]]}); expected "
                f"{', '.join(self.classes)}: rename or remove them, or change the classes of the parameter file"
            )
        divided = {"part" in item: path for path, item in reversed(annotations.items())}
        if len(divided) == 2:
            raise FerError(
                f"{divided[True]} is in a part (train, val, test), {divided[False]} is in none: put all images into "
                "parts, or none"
            )
        for path, item in annotations.items():
            self.describe(path, item)

    def describe(self, path: str, annotation: dict[str, str]) -> Sample:
        found = self.subject and self.subject.search(path)
        if self.subject and not (found and found[1]):
            raise FerError(f"options.subject: {self.subject.pattern!r} finds no subject in {path}")
        return Sample(self.code(annotation["class"], path), annotation.get("part"), found[1] if found else None)

    def write_synthetic(self, samples: int, target: Path) -> Path:
        """Write train/happy/S012_3.png and so on, in the proportions of `official_counts`; parts share no subject."""
        plan = self.plan(samples)
        for path, *_ in plan:
            if self.subject and not self.subject.search(path):
                raise FerError(
                    f"options.subject: {self.subject.pattern!r} does not fit the names of the synthetic source, such "
                    f"as {path}: name a source of your own, or leave the option out to try the synthetic one"
                )
        for (path, *_), png in zip(plan, ordered_map(draw, plan), strict=True):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(png)
        return target

    def plan(self, samples: int) -> list[tuple[str, str, int, int]]:
        """Return (path, expression, subject, take) of every image to draw."""
        official = self.parameters.official_counts
        whole = np.array(official.get("all") or [1] * len(self.classes))
        shares = {part: official[part] for part in SHARES if part in official}
        shares = shares or {part: share * whole for part, share in SHARES.items()}
        total = sum(map(sum, shares.values()))
        plan, first = [], 0
        for part, share in shares.items():
            counts = synthetic.proportional(samples * sum(share) / total, share, least=2)
            names = np.repeat(self.classes, counts)
            np.random.default_rng(first).shuffle(names)
            subjects = max(10, len(names) // 8)
            for take, name in enumerate(map(str, names)):
                subject = first + take % subjects
                plan.append((f"{part}/{name}/S{subject:03}_{take}.png", expression(name), subject, take))
            first += subjects
        return plan


def part_of(folders: list[str]) -> tuple[str | None, list[str]]:
    """Return the part that the first folders name, if they do, and the folders inside it."""
    part = None
    while folders and PARTS.get(folders[0], "") in ({*PARTS.values()} if part is None else {part}):
        part, folders = PARTS[folders[0]], folders[1:]
    return part, folders


def draw(face: tuple[str, str, int, int]) -> bytes:
    """Return one synthetic face as PNG."""
    _, name, subject, take = face
    return cv2.imencode(".png", synthetic.render(name, subject, take, seed=SEED).visible)[1].tobytes()
