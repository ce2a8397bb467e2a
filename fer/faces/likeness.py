"""Whether two pictures show the same moment of a face: the correlation of their detail, one laid upon the other.

Under one light, before one background, the whole pictures of two expressions of a person correlate nearly as well as
two frames of one expression do; brows, lids and mouth do not. Copies that were cropped differently must be registered
first, or they look like other expressions.
"""

from __future__ import annotations

import cv2
import numpy as np

from fer.faces.crops import grey, resized

SIDE = 48  # pixels of a picture that is compared
BORDER = 6  # pixels left out on each side: what registration shifts in from beyond the picture
FINE, COARSE = 1, 3  # σ in pixels: noise below, shading above; detail lies between
ROOM = 0.1  # of a crop by landmarks, on each side: hair, neck and background
BLUR = 5  # pixels, the filter within ECC
STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-4)


def picture(crop: np.ndarray, room: float) -> np.ndarray:
    """Return a uint8 crop (height, width[, 3]) without the share `room` of each side, as float32 (48, 48), 0 to 255."""
    height, width = crop.shape[:2]
    top, left = round(room * height), round(room * width)
    return resized(grey(np.ascontiguousarray(crop[top : height - top, left : width - left])), SIDE, SIDE).astype(
        np.float32
    )


def likeness(first: np.ndarray, second: np.ndarray, enough: float) -> float:
    """Return Pearson's correlation (-1 to 1) of the detail of two pictures, each float32 (48, 48); 0 if one has none.

    Where they correlate less than `enough` as they are, `second` is laid upon `first` by an affine map, and the better
    of both correlations counts. (ECC: Evangelidis and Psarakis, Parametric Image Alignment Using Enhanced Correlation
    Coefficient Maximization, TPAMI 2008.)
    """
    found = correlation(detail(first), detail(second))
    if found >= enough:
        return found
    try:
        _, matrix = cv2.findTransformECC(
            first, second, np.eye(2, 3, dtype=np.float32), cv2.MOTION_AFFINE, STEPS, None, BLUR
        )
    except cv2.error:  # it does not converge, as with pictures that have nothing in common
        return found
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(second, matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return max(found, correlation(detail(first), detail(laid)))


def detail(picture: np.ndarray) -> np.ndarray:
    """Return what lies between the scales of noise and of shading in a picture, without its border (float32)."""
    smooth = cv2.GaussianBlur(picture, (0, 0), FINE)
    inside = slice(BORDER, SIDE - BORDER)
    return (smooth - cv2.GaussianBlur(smooth, (0, 0), COARSE))[inside, inside]


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Pearson's correlation of two pictures of one shape, in [-1, 1]; 0 where one of them is flat."""
    one, other = one.ravel() - one.mean(), other.ravel() - other.mean()
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths > 1e-6 else 0.0
