"""JAFFE (Lyons et al., Coding Facial Expressions with Gabor Wavelets, FG 1998): 213 grey images of 256×256.

Layout read, packed or not, at any depth:

    jaffe.zip → KA.AN1.39.tiff        subject . expression and its index . number of the image

Expressions: AN anger, DI disgust, FE fear, HA happy, NE neutral, SA sad, SU surprise, each posed two to four times by
ten women: KA KL KM KR MK NA NM TM UY YM. The labels are the expressions that the women were asked to pose.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import cv2

from fer.datasets import Adapter, Original, Sample, register, synthetic
from fer.errors import FerError
from fer.expressions import expression
from fer.parallel import ordered_map

CODES = {
    "AN": "anger", "DI": "disgust", "FE": "fear", "HA": "happiness", "NE": "neutral", "SA": "sadness", "SU": "surprise",
}  # fmt: skip
SUBJECTS = ("KA", "KL", "KM", "KR", "MK", "NA", "NM", "TM", "UY", "YM")
NAME = re.compile(r"(?P<subject>[A-Z]+)\.(?P<code>[A-Z]+)(?P<index>\d+)\.(?P<number>\d+)\.\w+", re.IGNORECASE)
SIDE = 256
SEED = 102  # these people are in no other dataset


@register
class Jaffe(Adapter):
    """JAFFE, ten women in seven posed expressions."""

    def originals(self, source: Path) -> Iterator[Original]:
        """Return every image once; the same pose in two places is an error."""
        return self.each_once(
            source,
            lambda path: PurePosixPath(path).stem.upper() if NAME.fullmatch(PurePosixPath(path).name) else None,
            "not named as the images of JAFFE are (KA.AN1.39.tiff)",
        )

    def describe(self, path: str, annotation: dict[str, str]) -> Sample:
        """Return the sample: subject and class from the file's name."""
        match = NAME.fullmatch(PurePosixPath(path).name)
        subject, code = match["subject"].upper(), match["code"].upper()
        if code not in CODES:
            raise FerError(f"{path}: unknown expression {match['code']!r}; expected {', '.join(CODES)}")
        if subject not in SUBJECTS:
            raise FerError(f"{path}: unknown subject {match['subject']!r}; expected {', '.join(SUBJECTS)}")
        return Sample(self.code(CODES[code], path), subject=subject)

    def write_synthetic(self, samples: int, target: Path) -> Path:
        """Write `jaffe.zip`, classes in official proportions, each of them posed by every subject in turn."""
        official = self.parameters.official_counts.get("all") or [1] * len(self.classes)
        counts = dict(zip(self.classes, synthetic.proportional(samples, official, least=2), strict=True))
        poses = [(number % 10, name, number // 10) for name, count in counts.items() for number in range(count)]
        poses.sort(key=lambda pose: pose[0])
        codes = {name: code for code, name in CODES.items()}
        archive = target / "jaffe.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            for number, ((subject, name, take), tiff) in enumerate(
                zip(poses, ordered_map(render_image, poses), strict=True), 1
            ):
                packed.writestr(f"{SUBJECTS[subject]}.{codes[expression(name)]}{take + 1}.{number}.tiff", tiff)
        return archive


def render_image(pose: tuple[int, str, int]) -> bytes:
    """Return the image of (subject, class, take) as TIFF."""
    subject, name, take = pose
    face = synthetic.render(expression(name), subject, take, size=SIDE, seed=SEED)
    return cv2.imencode(".tiff", cv2.cvtColor(face.visible, cv2.COLOR_BGR2GRAY))[1].tobytes()
