"""Faces of one dataset cut like those of another: a network must be shown faces framed as in its training.

FER2013's faces are used as its owners cut them; others are cut here so that the eyes lie at fixed places. A network
trained on one kind finds the faces of the other too large or too small, and the figure would say more about the frame
than about the face.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fer.faces import crops
from fer.params import Alignment
from fer.storage import read_frame, read_originals

# Where the eyes lie in faces that are used as distributed, fractions of the side: medians over the 31,276 faces that
# dlib finds in FER2013 (the eyes' own spread is 0.07).
DISTRIBUTED_EYES = ((0.314, 0.394), (0.686, 0.394))


def eyes_of(alignment: Alignment) -> crops.Places:
    """Return where the right and the left eye lie in a face crop, x and y, fractions of its side."""
    return DISTRIBUTED_EYES if alignment.crop == "distributed" else (crops.RIGHT_EYE_AT, crops.LEFT_EYE_AT)


def framed(raw: Path, faces: Path, alignment: Alignment, samples: np.ndarray) -> np.ndarray:
    """Return samples cut as `alignment` cuts, uint8 (n, size, size[, 3]).

    An image in which no face was found is taken whole.

    Args:
        raw, faces: the originals of a dataset and the landmarks in them.
        alignment: that of the dataset whose framing is wanted.
        samples: int (n,), rows of the index, sorted and each once.
    """
    landmarks = read_frame(faces, ["landmarks"])["landmarks"]
    places, result = eyes_of(alignment), []
    for sample, data in read_originals(raw, samples):
        image, points = crops.decode(data, alignment.channels, f"{raw}, row {sample}"), landmarks[sample]
        if points is None:
            result.append(crops.distributed(image, alignment.size))
        else:
            result.append(crops.similarity(image, points.reshape(68, 2), alignment.size, places))
    return np.stack(result)
