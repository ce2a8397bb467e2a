"""FERG-DB (Aneja et al., Modeling Stylized Character Expressions via Deep Learning, ACCV 2016): 55,767 drawn faces.

Layout read, packed or not, at any depth:

    FERG_DB_256.zip → FERG_DB_256/<character>/<character>_<expression>/<character>_<expression>_<n>.png

256×256, colour, some images with alpha. Characters, which are the subjects: aia bonnie jules malcolm mery ray.
Expressions: anger disgust fear joy neutral sadness surprise. The images are frames of animations, so a random split
puts all but equal images on both sides; by character is the honest one.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from fer.datasets import Adapter, Original, Sample, register, synthetic
from fer.errors import FerError
from fer.expressions import expression
from fer.parallel import ordered_map

CHARACTERS = ("aia", "bonnie", "jules", "malcolm", "mery", "ray")
EXPRESSIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
FOLDERS = {*CHARACTERS, *(f"{character}_{name}" for character in CHARACTERS for name in EXPRESSIONS)}
NAME = re.compile(r"(?P<character>[a-z]+)_(?P<expression>[a-z]+)_(?P<number>\d+)\.\w+")


@register
class Ferg(Adapter):
    """FERG-DB, whose six drawn characters are the subjects."""

    def originals(self, source: Path) -> Iterator[Original]:
        """Return every frame once; the same frame in two places is an error."""
        return self.each_once(
            source,
            lambda path: PurePosixPath(path).stem.lower() if parse(path) else None,
            "not named as the images of FERG are (aia_anger_1.png)",
        )

    def describe(self, path: str, annotation: dict[str, str]) -> Sample:
        """Return the sample: character and class from the file's name, with which its folder must agree."""
        match = parse(path)
        character, name = match["character"], match["expression"]
        if character not in CHARACTERS:
            raise FerError(f"{path}: unknown character {character!r}; expected {', '.join(CHARACTERS)}")
        folder = PurePosixPath(path).parent.name.lower()
        if folder in FOLDERS - {character, f"{character}_{name}"}:
            raise FerError(f"{path}: its name says {character}_{name}, its folder {folder}")
        return Sample(self.code(name, path), subject=character)

    def write_synthetic(self, samples: int, target: Path) -> Path:
        """Write `FERG_DB_256.zip`: every expression of every character equally often."""
        kinds = [(character, name) for character in CHARACTERS for name in EXPRESSIONS]
        count = max(2, round(samples / len(kinds)))
        frames = [(character, name, number) for character, name in kinds for number in range(1, count + 1)]
        archive = target / "FERG_DB_256.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            for (character, name, number), png in zip(frames, ordered_map(render_frame, frames), strict=True):
                kind = f"{character}_{name}"
                packed.writestr(f"FERG_DB_256/{character}/{kind}/{kind}_{number}.png", png)
        return archive


def parse(path: str) -> re.Match | None:
    """Return the parts of an image's name, in lower case; None for any other file."""
    return NAME.fullmatch(PurePosixPath(path).name.lower())


# --- the synthetic source -------------------------------------------------------------------------------------------

SEED = 103
SIDE = 256
PEOPLE = dict(zip(CHARACTERS, (20, 13, 2, 25, 15, 6), strict=True))  # easily told apart, as the characters are
GROUND = (196, 190, 184)  # BGR


def render_frame(frame: tuple[str, str, int]) -> bytes:
    """Return one frame (character, expression, number) as PNG: smooth colours on a plain ground, or on none (alpha)."""
    character, name, number = frame
    face = synthetic.render(expression(name), PEOPLE[character], number, size=SIDE, seed=SEED)
    smooth = cv2.medianBlur(face.visible, 5)  # a drawing has no noise
    if number % 4 == 0:
        return cv2.imencode(".png", np.dstack([smooth, face.silhouette]))[1].tobytes()
    return cv2.imencode(".png", synthetic.blended(smooth, np.full_like(smooth, GROUND), face.silhouette))[1].tobytes()
