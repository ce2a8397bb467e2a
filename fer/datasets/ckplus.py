"""CK+ (Lucey et al., The Extended Cohn-Kanade Dataset, CVPR Workshops 2010): 593 sequences from neutral to apex.

Layouts read, packed or not, at any depth:

    extended-cohn-kanade-images.zip → cohn-kanade-images/S005/001/S005_001_00000011.png       640×490 grey, some colour
    Emotion_labels.zip              → Emotion/S005/001/S005_001_00000011_emotion.txt          one float: 3.0000000e+00
    CK+48/<class>/S010_004_00000017.png       the cropped copy, which has the last three frames alone; in some copies
                                              a folder neutral with first frames is beside the other classes

The two archives, or what was unpacked of them, lie in one folder, which is the source. Of every sequence with a label
the last `frames` images are taken; published work takes three, 981 images. It mostly has seven classes, the official
codes 1 to 7. To add neutral from the first frames, set `neutral_first_frame` and put neutral among the `classes`.
Sequences of a class that is not among the `classes` are left out and counted.

Official codes: 0 neutral, 1 anger, 2 contempt, 3 disgust, 4 fear, 5 happy, 6 sadness, 7 surprise. The subject is the
first part of the name (123 of them, 118 with a label), the sequence the first two.
"""

from __future__ import annotations

import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from fer import sources
from fer.datasets import Adapter, Faults, Original, Sample, register, synthetic
from fer.datasets.folder_names import class_folder
from fer.errors import FerError
from fer.expressions import expression
from fer.parallel import ordered_map
from fer.params import Dataset, Positive
from fer.wording import counted, examples

# The official classes in the order of their codes, and how many sequences have each label.
SEQUENCES = {
    "neutral": 0, "anger": 45, "contempt": 18, "disgust": 59, "fear": 25, "happy": 69, "sadness": 28, "surprise": 83,
}  # fmt: skip
CLASSES = list(SEQUENCES)
NAME = re.compile(r"(?P<subject>S\d+)_(?P<number>\d+)_(?P<frame>\d+)", re.IGNORECASE)
LABEL_ENDING = "_emotion.txt"
ONSET, APEX = "onset", "apex"  # the first frame of a sequence, and its last ones


@register
class CKPlus(Adapter):
    """CK+, from the two official archives or the cropped copy.

    Options: `frames`, how many of the last frames of a sequence are taken; `neutral_first_frame`, whether its first
    frame is added as neutral.
    """

    def __init__(self, parameters: Dataset, *, frames: Positive = 3, neutral_first_frame: bool = False):
        super().__init__(parameters)
        self.frames, self.neutral_first_frame = frames, neutral_first_frame
        self.used = {expression(name) for name in self.classes}
        if neutral_first_frame and "neutral" not in self.used:
            raise FerError(
                f"{parameters.title}: options.neutral_first_frame makes first frames neutral, but neutral is not among "
                f"the classes {', '.join(self.classes)}: add it there and in official_counts"
            )

    def originals(self, source: Path) -> Iterator[Original]:
        """Yield the frames taken, in the source's order; their annotation is the label as written and the phase."""
        labels, sequences = self.survey(source)
        taken = self.of_archives(labels, sequences) if labels else self.of_class_folders(sequences)
        for path, handle in sources.files(source):
            if path in taken:
                yield Original(path, handle.read(), taken[path])

    def survey(self, source: Path) -> tuple[dict[str, tuple[str, str]], dict[str, list[str]]]:
        """Return {sequence: (path of its label, the label as written)} and {sequence: paths of its frames in order}."""
        labels: dict[str, tuple[str, str]] = {}
        frames: dict[str, dict[int, str]] = defaultdict(dict)
        faults = Faults()
        for path, handle in sources.files(source):
            is_label = path.lower().endswith(LABEL_ENDING)
            match = parse(path) if is_label or sources.is_image_name(path) else None
            if match is None:
                self.leave_out(path, "neither a frame nor an emotion label")
                continue
            with faults.of(path):
                sequence, number = sequence_of(path), int(match["frame"])
                if is_label:
                    if sequence in labels:
                        faults.say(f"sequence {sequence} has two labels: {labels[sequence][0]} and {path}")
                    labels[sequence] = path, handle.read(100).decode("ascii", "replace").strip()
                    official_class(labels[sequence][1], path)
                elif (other := frames[sequence].setdefault(number, path)) != path:
                    faults.say(f"{path} and {other} are the same frame: give a source with one copy of CK+")
        faults.check()
        return labels, {sequence: [paths[number] for number in sorted(paths)] for sequence, paths in frames.items()}

    def of_archives(self, labels: dict[str, tuple[str, str]], sequences: dict[str, list[str]]) -> dict[str, dict]:
        """Return {path: annotation} of the frames taken where files hold the labels."""
        alone = [path for sequence, (path, _) in labels.items() if sequence not in sequences]
        if alone:
            raise FerError(
                f"{counted(len(alone), 'label has', 'labels have')} no images: {examples(alone)}. The source is the "
                "folder that holds both extended-cohn-kanade-images.zip (is it whole?) and Emotion_labels.zip"
            )
        taken: dict[str, dict] = {}
        faults = Faults()
        for sequence, paths in sequences.items():
            where, label = labels.get(sequence, ("", ""))
            if not label:
                self.leave_all_out(paths, "frame of a sequence without an emotion label")
            elif self.uses(official_class(label, where), paths):
                with faults.of(paths[0]):
                    onset, apex = self.divide(sequence, paths)
                    taken |= {path: {"emotion": label, "phase": ONSET} for path in onset}
                    taken |= {path: {"emotion": label, "phase": APEX} for path in apex}
        faults.check()
        return taken

    def of_class_folders(self, sequences: dict[str, list[str]]) -> dict[str, dict]:
        """Return {path: annotation} of the frames taken where folders are the labels.

        Frames in a folder `neutral` are taken as they are if neutral is among the classes.
        """
        taken: dict[str, dict] = {}
        faults = Faults()
        everything = [path for paths in sequences.values() for path in paths]
        for sequence, paths in sequences.items():
            neutral = [path for path in paths if class_folder(path).lower() == "neutral"]
            if neutral:  # first frames, which some copies put beside the classes
                if self.uses("neutral", neutral):
                    taken |= {path: {} for path in neutral}
                paths = [path for path in paths if path not in neutral]
                if not paths:
                    continue
            folders = {class_folder(path) for path in paths}
            if len(folders) > 1:
                faults.say(f"frames of sequence {sequence} lie in several folders: {', '.join(sorted(folders))}")
                continue
            folder = folders.pop()
            if folder.isdigit() and len(folder) < 3:
                raise FerError(
                    f"{paths[0]}: class folders are numbers, and copies of CK+ number them differently. Rename them: "
                    f"{', '.join(CLASSES)}"
                )
            if folder.isdigit() or not folder:
                raise FerError(
                    f"{paths[0]} has no label, nor has any other image (no file *{LABEL_ENDING}): put "
                    "Emotion_labels.zip beside extended-cohn-kanade-images.zip and name their folder as the source"
                )
            if self.neutral_first_frame and not any(class_folder(path).lower() == "neutral" for path in everything):
                raise FerError(
                    f"options.neutral_first_frame: there are no first frames in the folder form ({paths[0]}); "
                    "use the two official archives, or switch the option off"
                )
            with faults.of(paths[0]):
                if self.uses(folder_class(paths[0]), paths):
                    taken |= {path: {} for path in self.divide(sequence, paths)[1]}
        faults.check()
        return taken

    def divide(self, sequence: str, paths: list[str]) -> tuple[list[str], list[str]]:
        """Return the first frame (where neutral is made of it) and the last ones; leave out those between."""
        first = int(self.neutral_first_frame)
        if len(paths) < first + self.frames:
            raise FerError(
                f"sequence {sequence} has {counted(len(paths), 'frame')}, fewer than the last "
                f"{self.frames}{' and the first' * first} that the options ask for; is the source whole?"
            )
        self.leave_all_out(paths[first : -self.frames], f"frame before the last {self.frames} of a labelled sequence")
        return paths[:first], paths[-self.frames :]

    def uses(self, name: str, paths: list[str]) -> bool:
        """Return whether the dataset has a class; leave its frames out if not."""
        if expression(name) not in self.used:
            self.leave_all_out(paths, f"{name} is not among the classes")
        return expression(name) in self.used

    def leave_all_out(self, paths: list[str], reason: str) -> None:
        """Note several files that are not originals, for one reason."""
        for path in paths:
            self.leave_out(path, reason)

    def describe(self, path: str, annotation: dict[str, str]) -> Sample:
        """Return the sample: subject and sequence from the file's name, the class from the label or the folder."""
        name = official_class(annotation["emotion"], path) if annotation else folder_class(path)
        sequence = sequence_of(path)
        code = self.code("neutral" if annotation.get("phase") == ONSET else name, path)
        return Sample(code, subject=sequence.partition("_")[0], sequence=sequence)

    def write_synthetic(self, samples: int, target: Path) -> Path:
        """Write the two archives such that about `samples` frames are taken; some sequences have no label."""
        clips = self.plan(samples)
        shots = [(clip, frame) for clip in clips for frame in range(1, clip.length + 1)]
        with zipfile.ZipFile(target / "extended-cohn-kanade-images.zip", "w") as archive:
            for (clip, frame), png in zip(shots, ordered_map(render_frame, shots), strict=True):
                archive.writestr(f"cohn-kanade-images/{clip.path(frame)}.png", png)
        with zipfile.ZipFile(target / "Emotion_labels.zip", "w") as archive:
            for clip in clips:
                if clip.labelled:
                    label = f"   {CLASSES.index(clip.name):.7e}\n"
                    archive.writestr(f"Emotion/{clip.path(clip.length)}{LABEL_ENDING}", label)
        return target

    def plan(self, samples: int) -> list[Clip]:
        """Return the sequences to draw, labels in the official proportions."""
        names = [name for name in CLASSES if SEQUENCES[name] and expression(name) in self.used]
        labelled = samples / (self.frames + self.neutral_first_frame)
        counts = synthetic.proportional(labelled, [SEQUENCES[name] for name in names], least=2)
        content = [(name, True) for name, count in zip(names, counts, strict=True) for _ in range(count)]
        content += [(name, False) for name in names[: 1 + len(content) // 10]]
        subjects = max(10, round(len(content) / 2.8))  # as many sequences a subject as CK+ has; ten folds need ten
        order = np.random.default_rng(len(content)).permutation(len(content))
        return [
            Clip(*content[item], number % subjects, number // subjects, length=self.frames + 1 + number % 2)
            for number, item in enumerate(order)
        ]


def parse(path: str) -> re.Match | None:
    """Return the parts of a frame's or a label's name, None for any other file."""
    name = PurePosixPath(path).name
    stem = name[: -len(LABEL_ENDING)] if name.lower().endswith(LABEL_ENDING) else PurePosixPath(path).stem
    return NAME.fullmatch(stem)


def sequence_of(path: str) -> str:
    """Return the sequence in a file's name, such as S005_001; its folders must agree."""
    match = parse(path)
    subject, number = match["subject"].upper(), match["number"]
    above, folder = ("", "", *PurePosixPath(path).parts)[-3:-1]
    if (folder.isdigit() and folder != number) or (re.fullmatch(r"(?i)S\d+", above) and above.upper() != subject):
        raise FerError(f"{path}: its name says sequence {subject}_{number}, its folders {above}/{folder}")
    return f"{subject}_{number}"


def official_class(label: str, where: str) -> str:
    """Return the class of a label as written, such as "3.0000000e+00"."""
    try:
        code = float(label)
    except ValueError as error:
        raise FerError(
            f"{where}: the label {label!r} is not a number; expected 0 to {len(CLASSES) - 1}, such as 3.0000000e+00"
        ) from error
    if code not in range(len(CLASSES)):
        raise FerError(f"{where}: unknown label {label!r}; expected 0 to {len(CLASSES) - 1}")
    return CLASSES[int(code)]


def folder_class(path: str) -> str:
    """Return the name of the folder that holds a frame; it must be an expression."""
    folder = class_folder(path)
    try:
        expression(folder)
    except FerError as error:
        raise FerError(f"{path}: unknown class folder {folder!r}; expected {', '.join(CLASSES)}") from error
    return folder


# --- the synthetic source -------------------------------------------------------------------------------------------

SEED = 101  # these people are in no other dataset
FACE = 192  # side of the drawing that is set into the frame


@dataclass(frozen=True)
class Clip:
    """A sequence to draw."""

    name: str  # of its class
    labelled: bool
    subject: int  # from 0
    number: int  # of the subject's sequences, from 0
    length: int  # frames

    @property
    def colour(self) -> bool:
        """Whether the frames are in colour and 640×480, as some of CK+ are."""
        return self.subject % 10 == 9

    def path(self, frame: int) -> str:
        """Return the official path of a frame, counted from 1, without its ending."""
        subject, number = f"S{5 + self.subject:03}", f"{1 + self.number:03}"
        return f"{subject}/{number}/{subject}_{number}_{frame:08}"


def render_frame(shot: tuple[Clip, int]) -> bytes:
    """Return one frame as PNG: 640×490 grey or 640×480 colour, a person before a plain wall."""
    clip, frame = shot
    reached = 1 - (1 - (frame - 1) / (clip.length - 1)) ** 2
    face = synthetic.render(expression(clip.name), clip.subject, clip.number, size=FACE, seed=SEED, intensity=reached)
    generator = np.random.default_rng([SEED, clip.subject, clip.number])  # one camera for the whole sequence
    width, height = 640, 480 if clip.colour else 490
    side = int(generator.integers(310, 370))
    left, top = int(generator.uniform(0.25, 0.75) * (width - side)), height - side - int(generator.integers(40, 110))
    wall = np.linspace(*generator.uniform(90, 190, 2), width).astype(np.uint8)
    canvas = cv2.merge([np.tile(wall, (height, 1))] * 3)
    exact = synthetic.EXACT
    visible, share = (cv2.resize(item, (side, side), interpolation=exact) for item in (face.visible, face.silhouette))
    window = canvas[top : top + side, left : left + side]
    window[:] = synthetic.blended(visible, window, share)
    neck = np.array([left + face.landmarks[8, 0] * side / FACE, top + 0.91 * side])
    half = np.array([(-1.5, 2.0), (-1.35, 0.62), (-1.0, 0.38), (-0.5, 0.22), (-0.22, 0.1)])  # shoulder to neck
    outline = neck + 0.375 * side * np.concatenate([half, [(0, 0.17)], half[::-1] * (-1, 1)])
    cv2.fillPoly(canvas, [np.round(outline).astype(np.int32)], generator.uniform(20, 120, 3), cv2.LINE_AA)
    return cv2.imencode(".png", canvas if clip.colour else cv2.cvtColor(canvas, cv2.COLOR_BGR2GRAY))[1].tobytes()
