"""Visible and infrared images in pairs, as the owners of VIRI and NVIE hand them out (see `viri` and `nvie`).

    <dataset>-<class>[<n>]-{Vis,Ir}.{zip,7z}      or folders of these names, where they are unpacked
        …/<a name with a number>.JPG              any folders inside

Class and modality are those of the archive. What is inside is not documented by its owners, so nothing is guessed: two
images are a pair when class and all numbers in their names are the same (`0012` is `12`), and what does not pair is
an error that lists it. Two options help where names are different:

    number     a regular expression with one group, on a file's name without its ending: where the number stands
    unpaired   "leave_out": leave out the images that have no partner
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import cv2
import py7zr

from fer import sources
from fer.datasets import Adapter, Faults, Original, Sample, synthetic, with_one_group
from fer.errors import FerError
from fer.expressions import expression
from fer.parallel import ordered_map
from fer.params import Dataset
from fer.wording import counted

MODALITIES = {"vis": "visible", "ir": "infrared"}  # in the order of the originals: a visible image before its partner
WORDS = MODALITIES | {"visible": "visible", "infrared": "infrared", "thermal": "infrared"}  # of archives' names
LISTED = 40  # images that an error names


class Shot(NamedTuple):
    """What one file shows. The two images of a pair differ only in `modality`."""

    label: int
    subject: str | None
    number: tuple[int, ...]  # empty where the name has none
    modality: str


class Paired(Adapter):
    """A dataset of such archives.

    `dataset` is what their names start with. For the synthetic source, `seed` makes people who are in no other dataset,
    and `synthetic_files` are the archives and the names inside them, with the fields {number} and {subject}.
    """

    dataset: str
    seed: int
    synthetic_files: dict[str, str]

    def __init__(self, parameters: Dataset, unpaired: str, number: str | None, subject: str | None = None):
        super().__init__(parameters)
        self.unpaired = unpaired
        self.number = with_one_group("number", number)
        self.subject = with_one_group("subject", subject)
        self.archive = re.compile(
            rf"{self.dataset}[-_ ]([a-z]+)\d*[-_ ]({'|'.join(WORDS)})(\.[a-z0-9.]+)?", re.IGNORECASE
        )

    def originals(self, source: Path) -> Iterator[Original]:
        """Yield every image of a pair; its label is in the path, so there is no annotation."""
        shots = self.survey(source)
        for modality in MODALITIES.values():
            for path, handle in sources.files(source):
                if path in shots and shots[path].modality == modality:
                    yield Original(path, handle.read())

    def survey(self, source: Path) -> dict[str, Shot]:
        """Return what every image of a pair shows by its path, before any image is read.

        Raises:
            FerError: two images that are the same, or images that do not pair.
        """
        found: dict[Shot, str] = {}
        alone, copies, faults = [], [], Faults()
        for path in sources.names(source):
            with faults.of(path):
                if self.archive_of(path) is None:
                    reason = f"in no archive or folder {self.dataset}-<class>-Vis or {self.dataset}-<class>-Ir"
                    self.leave_out(path, reason)
                elif not sources.is_image_name(path):
                    self.leave_out(path, "not named as an image")
                elif not (shot := self.shot(path)).number:
                    alone.append(path)
                elif (other := found.setdefault(shot, path)) != path:
                    copies.append(f"{other} and {path} are both {shot.modality} {self.pair(shot)}")
        for pair in copies:
            faults.say(pair)
        if copies:
            faults.say(
                "Class, modality and number of these agree. If one is a copy, remove it; where the names tell "
                "them apart otherwise, say how with the option number (NVIE: or subject)"
            )
        faults.check()
        pairs = {}
        for shot, path in found.items():
            if all(shot._replace(modality=modality) in found for modality in MODALITIES.values()):
                pairs[path] = shot
            else:
                alone.append(path)
        self.without_partner(source, sorted(alone))
        return pairs

    def without_partner(self, source: Path, paths: list[str]) -> None:
        """Refuse the images that have no partner, or leave them out where the option `unpaired` says so."""
        if self.unpaired == "leave_out":
            for path in paths:
                self.leave_out(path, "without a partner in the other modality")
        elif paths:
            more = [f"… and {len(paths) - LISTED:,} more"] if len(paths) > LISTED else []
            raise FerError(
                f"{source}: {counted(len(paths), 'image has', 'images have')} no partner in the other modality. "
                "Visible and infrared images pair when class and numbers in their names are the same.\n  "
                + "\n  ".join(paths[:LISTED] + more)
                + "\n  To leave them out, set `options: {unpaired: leave_out}` in the dataset's parameters; where the "
                "names hold other numbers too, say with the option `number` where theirs stands."
            )

    def archive_of(self, path: str) -> tuple[int, str] | None:
        """Return (label, modality) of the archive or folder that holds the file at `path`, None where there is none."""
        matches = [match for part in path.split("/")[:-1] if (match := self.archive.fullmatch(part))]
        kinds = {(self.code(match[1], path), WORDS[match[2].lower()]) for match in matches}
        if len(kinds) > 1:
            raise FerError(f"{path}: lies in archives or folders of different classes or modalities")
        return kinds.pop() if kinds else None

    def shot(self, path: str) -> Shot:
        """Return what an image shows, from its path: class, subject, the numbers in its name, modality."""
        label, modality = self.archive_of(path)
        text = PurePosixPath(path).stem
        if self.number is not None:
            match = self.number.search(text)
            text = (match and match[1]) or ""
        return Shot(label, self.subject_of(path), tuple(map(int, re.findall(r"[0-9]+", text))), modality)

    def pair(self, shot: Shot) -> str:
        """Return the name of a shot's pair, such as `angry-012`."""
        subject = [shot.subject] if shot.subject else []
        return "-".join([self.classes[shot.label].lower(), *subject, *(f"{number:03}" for number in shot.number)])

    def describe(self, path: str, annotation: dict[str, str]) -> Sample:
        """Return the sample; the two images of a pair have the same `pair`."""
        shot = self.shot(path)
        return Sample(shot.label, subject=shot.subject, modality=shot.modality, pair=self.pair(shot))

    def write_synthetic(self, samples: int, target: Path) -> Path:
        """Write the official archives with `samples` / 2 pairs; every subject shows every class."""
        plan = self.plan(samples)
        drawn = ordered_map(render_pair, [shown for shown, _, _ in plan])
        with ExitStack() as stack:
            archives = {name: stack.enter_context(create(target / name)) for name in self.synthetic_files}
            for ((_, subject, _, _), number, names), images in zip(plan, drawn, strict=True):
                for name, image in zip(names, images, strict=True):
                    inside = self.synthetic_files[name].format(number=number, subject=subject + 1)
                    add(archives[name], inside, image)
        return target

    def plan(self, samples: int) -> list[tuple[tuple[str, int, int, int], int, list[str]]]:
        """Return ((expression, subject, take, seed), number, [visible archive, infrared archive]) of every pair.

        Where a class has several archives of one modality, each holds a run of its numbers.
        """
        pairs = max(TAKES, round(samples / 2 / len(self.classes)))  # of a class
        plan = []
        for label, name in enumerate(self.classes):
            kinds = [(label, modality) for modality in MODALITIES.values()]
            packed = [
                [archive for archive in self.synthetic_files if self.archive_of(f"{archive}/") == kind]
                for kind in kinds
            ]
            for index in range(pairs):
                shown = (expression(name), index // TAKES, index, self.seed)
                plan.append((shown, index + 1, [choice[index * len(choice) // pairs] for choice in packed]))
        return plan


# --- the synthetic source -------------------------------------------------------------------------------------------

SIDE = 192
TAKES = 2  # pairs of every subject and class


def create(path: Path) -> zipfile.ZipFile | py7zr.SevenZipFile:
    """Open a new zip or 7z archive for writing, by the ending of its name."""
    return zipfile.ZipFile(path, "w") if path.suffix == ".zip" else py7zr.SevenZipFile(path, "w")


def add(archive: zipfile.ZipFile | py7zr.SevenZipFile, name: str, data: bytes) -> None:
    """Add a file to an archive that `create` opened."""
    if isinstance(archive, zipfile.ZipFile):
        archive.writestr(name, data)
    else:
        archive.writestr(data, name)


def render_pair(shown: tuple[str, int, int, int]) -> tuple[bytes, bytes]:
    """Return one face (expression, subject, take, seed) as two JPEGs in register: visible (colour), infrared (grey)."""
    *face, seed = shown
    rendering = synthetic.render(*face, size=SIDE, seed=seed)
    visible, infrared = (cv2.imencode(".jpg", image)[1] for image in (rendering.visible, rendering.infrared))
    return visible.tobytes(), infrared.tobytes()
