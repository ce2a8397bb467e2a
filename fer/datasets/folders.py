r"""Your own dataset, with a folder for each class. It needs one parameter file, with `adapter: folders`.

Layout read, packed or not:

    [train|val|test/]<class>/…/<image>        or    <class>/[train|val|test/]…/<image>

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

Class folders have the names of the `classes` in the parameter file, or synonyms of them (angry for anger, joy for
happiness), in upper or lower case, with a number before them or not (0_angry). Part folders lie above the classes or
below them and may be called training, valid, validation and so on; all images are in a part or none is.
Folders around all of this do not matter, nor do others between a class and its images. Each part and each class may be
an archive of its own (train.zip, happy.tar.gz).

Option `nested: true`: class folders may lie in folders that are neither parts nor classes (S01/happy and S02/happy, or
emotions/happy beside neutral). Without it these are refused, since several may hold versions of the same images.

Where no image lies in a class folder, labels are read from CSV files beside the images (`fer.datasets.label_tables`):

    labels.csv, images/<image>                    columns such as image,label (and split, where there are parts)

Option `folders`: which class a folder of another name is, such as `folders: {"0": angry, "1": happy, smiling: happy}`.

Option `subject`: a regular expression with one group, searched in the path of each image, whose group is the subject:
`subject: '/(S\d+)_'` reads S012 from train/happy/S012_3.png. Without it, no protocol by subject can be used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NoReturn

import cv2
import numpy as np

from fer import sources
from fer.datasets import Adapter, Faults, Original, Sample, register, synthetic, with_one_group
from fer.datasets.folder_names import NUMBERED, part_named, plain
from fer.datasets.label_tables import IMAGE_COLUMNS, LABEL_COLUMNS, Labels
from fer.errors import FerError
from fer.expressions import expression, expression_or_none
from fer.parallel import ordered_map
from fer.params import Dataset
from fer.wording import examples

SHARES = {"train": 0.70, "val": 0.15, "test": 0.15}  # of the synthetic source, unless official counts tell others
SEED = 104  # these people are in no other dataset
TABLES = (".csv", ".tsv", ".xls", ".xlsx", ".json")


@register
class Folders(Adapter):
    """A folder for each class, or a table of labels beside the images.

    Options: `subject`, `folders` and `nested`, as the head of this module describes them.
    """

    def __init__(
        self,
        parameters: Dataset,
        *,
        subject: str | None = None,
        folders: dict[int | str, str] | None = None,
        nested: bool = False,
    ):
        super().__init__(parameters)
        self.nested = nested
        self.known: dict[str, bool] = {}  # whether a folder's name means a class
        self.folders = {str(folder).lower(): name for folder, name in (folders or {}).items()}
        for name in self.classes:
            expression(name)  # one that is not known is an error here, rather than its folder's later
        self.subject = with_one_group("subject", subject)

    def originals(self, source: Path) -> Iterator[Original]:
        """Yield every image that has a class; its annotation is the class and the part as the source names them."""
        found = sources.names(source)
        annotations = self.annotate(found, self.table_of_labels(source, found))
        for path, handle in sources.files(source):
            if path in annotations:
                yield Original(path, handle.read(), annotations[path])

    def table_of_labels(self, source: Path, paths: list[str]) -> Labels | None:
        """Return the tables of labels of a source without class folders; None if there are none."""
        images = [path for path in paths if sources.is_image_name(path)]
        above = {plain(folder) for path in images for folder in PurePosixPath(path).parts[:-1]}
        tables = [path for path in paths if path.lower().endswith((".csv", ".csv.gz"))]
        if not tables or any(self.knows(folder) for folder in above):
            return None
        labels = Labels(images)
        for path, handle in sources.files(source):
            if path in tables:
                labels.read(path, handle)
        labels.check()
        return labels if labels.annotations else None

    def annotate(self, paths: list[str], labels: Labels | None = None) -> dict[str, dict[str, str]]:
        """Return {path: class and part} of every image, from its folders or from `labels`; leave out what is none."""
        if labels:
            for path in paths:
                if path not in labels.annotations and path not in labels.tables:
                    image = sources.is_image_name(path)
                    self.leave_out(path, "without a row in the table of labels" if image else "not named as an image")
            self.check(labels.annotations, "label")
            return labels.annotations
        above: dict[str, list[str]] = {}
        tables = [path for path in paths if path.lower().endswith(TABLES)]
        for path in paths:
            if sources.is_image_name(path):
                above[path] = [plain(folder) for folder in PurePosixPath(path).parts[:-1]]
            else:
                self.leave_out(path, "not named as an image")
        around = self.depth_around(list(above.values()))
        annotations: dict[str, dict[str, str]] = {}
        wrappers: dict[str, str] = {}
        faults = Faults()
        for path, folders in above.items():
            parts = {part for folder in folders[around:] if (part := part_named(folder))}
            inside = [folder for folder in folders[around:] if part_named(folder) is None]
            known = [folder for folder in inside if self.knows(folder)]
            others = {folder for folder in known[1:] if self.named(folder) != self.named(known[0])}
            if len(parts) > 1:
                faults.add(path, f"lies in folders of several parts, {' and '.join(sorted(parts))}")
            if others:
                faults.add(path, f"lies in the folder of {known[0]} and in that of {' and '.join(sorted(others))}")
            if known and known[0] != inside[0] and not expression_or_none(inside[0]):
                wrappers.setdefault(inside[0], path)
                inside = known
            if inside:
                annotations[path] = {"class": inside[0]} | ({"part": parts.pop()} if parts else {})
            elif tables:
                self.leave_out(
                    path,
                    f"in no class folder; labels are read from a CSV file with a column for the image "
                    f"({', '.join(IMAGE_COLUMNS)}) and one for the class ({', '.join(LABEL_COLUMNS)}), which "
                    f"{tables[0]} lacks. Or sort the images into a folder for each class ({', '.join(self.classes)})",
                )
            else:
                part = f" of the part {' and '.join(sorted(parts))}" if parts else ""
                self.leave_out(path, f"in no class folder{part}")
        faults.check()
        if wrappers and not self.nested:
            self.refuse_nested(wrappers)
        self.check(annotations)
        return annotations

    def refuse_nested(self, wrappers: dict[str, str]) -> NoReturn:
        """Refuse folders that are neither parts nor classes but hold class folders; each with one of its images."""
        names, example = examples(sorted(wrappers)), next(iter(wrappers.values()))
        what = (
            "is neither a part nor a class, but holds"
            if len(wrappers) == 1
            else "are neither parts nor classes, but hold"
        )
        raise FerError(
            f"{names} {what} class folders (for example {example}). Parts are train, val and test, classes "
            f"{', '.join(self.classes)}. Rename what is a part. If each holds other images (of one person, say), "
            "set options: {nested: true} in the parameter file. If they hold versions of the same images "
            "(originals, crops), give one of the folders as the source"
        )

    def depth_around(self, paths: list[list[str]]) -> int:
        """Return how many folders lie around all images without being a part or a class."""
        shortest = min(map(len, paths), default=0)
        for depth in range(shortest):
            folder = paths[0][depth]
            if part_named(folder) or self.knows(folder) or any(folders[depth] != folder for folders in paths):
                return depth
        return shortest

    def named(self, folder: str) -> int:
        """Return the code of the class that a folder is named after."""
        return self.code(self.folders.get(folder) or NUMBERED.sub("", folder), folder)

    def knows(self, folder: str) -> bool:
        """Return whether a folder's name, or the option `folders`, means a class of the dataset."""
        if folder not in self.known:
            try:
                self.known[folder] = self.named(folder) >= 0
            except FerError:
                self.known[folder] = False
        return self.known[folder]

    def check(self, annotations: dict[str, dict[str, str]], what: str = "class folder") -> None:
        """Refuse annotations with unknown classes, or with parts for only some of the images.

        Args:
            annotations: {path: class and part}.
            what: the classes come from, for messages: "class folder" or "label".
        """
        classes: dict[str, list[str]] = {}
        for path, item in annotations.items():
            classes.setdefault(item["class"], []).append(path)
        unknown = [name for name in sorted(classes) if not self.knows(name)]
        these = f"{what}{'' if len(unknown) == 1 else 's'} {', '.join(unknown)}"
        example = classes[unknown[0]][0] if unknown else ""
        if unknown and all(name.isdecimal() for name in unknown):
            shown = ", ".join(f'"{name}": {own}' for name, own in zip(unknown, self.classes, strict=False))
            raise FerError(
                f"{these} {'is a number, which does' if len(unknown) == 1 else 'are numbers, which do'} not say the "
                f"class (for example {example}). Say in the parameter file which is which, such as "
                f"options: {{folders: {{{shown}}}}}, or use the names: {', '.join(self.classes)}"
            )
        if unknown:
            more = [name for name in unknown if expression_or_none(name)]
            raise FerError(
                f"unknown {these} (for example {example}); expected {', '.join(self.classes)}. Rename or remove what "
                "does not belong there, change the `classes` of the parameter file"
                + (f" (which lack {', '.join(more)})" if more else "")
                + ", or say there which class each is, such as "
                f"options: {{folders: {{{unknown[0]}: {self.classes[0]}}}}}"
            )
        divided = {"part" in item: path for path, item in reversed(annotations.items())}
        if len(divided) == 2:
            raise FerError(
                f"{divided[True]} is in a part (train, val, test), {divided[False]} is in none: put all images into "
                "parts, or none"
            )
        faults = Faults()
        for path, item in annotations.items():
            with faults.of(path):
                self.describe(path, item)
        faults.check()

    def describe(self, path: str, annotation: dict[str, str]) -> Sample:
        """Return the sample: class and part from the annotation, the subject from the path."""
        subject = self.subject_of(path)
        return Sample(self.named(annotation["class"]), annotation.get("part"), subject)

    def write_synthetic(self, samples: int, target: Path) -> Path:
        """Write train/happy/S012_3.png and so on, in the proportions of `official_counts`; parts share no subject."""
        plan = self.plan(samples)
        for path, *_ in plan:
            if self.subject and not self.subject.search(path):
                raise FerError(
                    f"options.subject: {self.subject.pattern!r} does not match the names of the synthetic source, such "
                    f"as {path}: give a source of your own, or leave the option out to try the synthetic one"
                )
        for (path, *_), png in zip(plan, ordered_map(render_image, plan), strict=True):
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


def render_image(face: tuple[str, str, int, int]) -> bytes:
    """Return one synthetic face as PNG."""
    _, name, subject, take = face
    return cv2.imencode(".png", synthetic.render(name, subject, take, seed=SEED).visible)[1].tobytes()
