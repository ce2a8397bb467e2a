"""Follow faces from frame to frame by the overlap of their boxes, and smooth the probabilities of each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from fer.recognition.recognizer import Face

OVERLAP = 0.3  # least intersection over union of one face in two frames
PATIENCE = 15  # frames that a face may be out of sight and keep its number


@dataclass
class Tracker:
    """Gives each face the number of the face it overlaps most with in the frames before.

    Args:
        smoothing: weight of the frames before in [0, 1): the probabilities of a face become
            smoothing · before + (1 − smoothing) · now. 0 leaves them as they are.
    """

    smoothing: float = 0.0
    _last: dict[int, tuple[int, Face]] = field(default_factory=dict)  # number: (frame, face)
    _frame: int = 0
    _count: int = 0

    def follow(self, faces: list[Face]) -> list[tuple[int, Face]]:
        """Return the faces of the next frame with their numbers, which count from 0."""
        self._frame += 1
        self._last = {key: item for key, item in self._last.items() if self._frame - item[0] <= PATIENCE}
        pairs = [
            (overlap(old.box, face.box), key, at)
            for key, (_, old) in self._last.items()
            for at, face in enumerate(faces)
        ]
        numbers: dict[int, int] = {}
        for share, key, at in sorted(pairs, reverse=True):
            if share >= OVERLAP and at not in numbers and key not in numbers.values():
                numbers[at] = key
        result = []
        for at, face in enumerate(faces):
            number = numbers.get(at)
            if number is None:
                number, self._count = self._count, self._count + 1
            elif self.smoothing:
                before = self._last[number][1].scores
                face = replace(face, scores=self.smoothing * before + (1 - self.smoothing) * face.scores)
            self._last[number] = (self._frame, face)
            result.append((number, face))
        return result


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return intersection over union of two boxes (left, top, right, bottom)."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    common = float(np.prod(sides.clip(0)))
    return common / (float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - common)
