"""From crops as a dataset has them to the images that a network takes."""

from __future__ import annotations

import cv2
import numpy as np

from fer.params import Input


def fit(array: np.ndarray, input_spec: Input) -> np.ndarray:
    """Return uint8 crops (n, height, width[, 3]) as (n, channels, size, size)."""
    if array.shape[1] != input_spec.size and len(array):
        method = cv2.INTER_AREA if input_spec.size < array.shape[1] else cv2.INTER_LINEAR
        array = np.stack([cv2.resize(crop, (input_spec.size, input_spec.size), interpolation=method) for crop in array])
    if array.ndim == 3:
        return np.repeat(array[:, None], input_spec.channels, axis=1)
    if input_spec.channels == 1:
        return np.stack([cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in array])[:, None]
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2))
