"""Draw boxes, labels and bars of probabilities on a picture."""

from __future__ import annotations

import cv2
import numpy as np

from fer.recognition.recognizer import Face

ROOM = 60  # pixels: bars are drawn under faces of at least this width; under smaller ones nobody could read them
COLOUR, INK, PAPER = (0, 114, 178), (255, 255, 255), (30, 30, 30)  # RGB


def draw_faces(image: np.ndarray, faces: list[tuple[int | None, Face]]) -> np.ndarray:
    """Return a copy of an image, uint8 RGB (height, width, 3), with the faces marked.

    Args:
        image: uint8, grey (height, width) or RGB (height, width, 3).
        faces: each with its number in a video, or None.
    """
    canvas = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image.copy()
    for number, face in faces:
        left, top, right, bottom = (round(float(value)) for value in face.box)
        unit = max((right - left) / 160, 0.35)  # text and bars grow with the face
        thickness = max(1, round(2 * unit))
        cv2.rectangle(canvas, (left, top), (right, bottom), COLOUR, thickness)
        title = f"{face.label} {100 * face.confidence:.0f}%" + ("" if number is None else f"  #{number}")
        text(canvas, title, (left, top - round(6 * unit)), 0.6 * unit, COLOUR)
        bars = face.probabilities.items() if right - left >= ROOM else ()
        for row, (name, value) in enumerate(bars):
            at = bottom + round((row + 1) * 16 * unit)
            end = left + round(value * (right - left))
            cv2.rectangle(canvas, (left, at - round(10 * unit)), (max(end, left + 1), at), COLOUR, -1)
            text(canvas, name, (left + round(4 * unit), at - round(unit)), 0.4 * unit, PAPER)
    return canvas


def text(
    canvas: np.ndarray, words: str, corner: tuple[int, int], size: float, background: tuple[int, int, int]
) -> None:
    """Write words whose lower left corner lies at `corner`, with an outline that keeps them readable anywhere."""
    thickness = max(1, round(1.5 * size))
    cv2.putText(canvas, words, corner, cv2.FONT_HERSHEY_SIMPLEX, size, background, thickness + 2, cv2.LINE_AA)
    cv2.putText(canvas, words, corner, cv2.FONT_HERSHEY_SIMPLEX, size, INK, thickness, cv2.LINE_AA)
