"""Two fingerprints of an image: one of its exact pixels, one of what it looks like."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from fer.faces.crops import resized

SIDE = 32  # the image is shrunk to this before its cosine transform
# The 8 lowest frequencies of the cosine transform, without that of the mean brightness, int64 (8, SIDE): in integers
# every processor finds the same bits.
COSINES = np.array([
    [round(4096 * math.cos(math.pi * frequency * (2 * place + 1) / (2 * SIDE))) for place in range(SIDE)]
    for frequency in range(1, 9)
])  # fmt: skip


def pixels(image: np.ndarray) -> str:
    """Return the SHA-256 (hex) of an image's pixels, shape and dtype: equal for equal pixels in any lossless format.

    RGB that is grey throughout counts as the grey image it shows.
    """
    if image.ndim == 3 and (image == image[..., :1]).all():
        image = image[..., 0]
    digest = hashlib.sha256(f"{image.dtype.name} {image.shape}\n".encode())
    digest.update(np.ascontiguousarray(image).astype(image.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def perceptual_hash(image: np.ndarray) -> int:
    """Return the 64-bit perceptual hash of a grey uint8 image: which low frequencies are above their median.

    The bits run through the 8 × 8 lowest cosine frequencies of the image at 32 × 32, the first one the highest bit
    (Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010). Two images look alike when few
    bits differ. A blank image has hash 0.
    """
    small = resized(image, SIDE, SIDE).astype(np.int64)
    frequencies = (COSINES @ (small.size * small - small.sum()) @ COSINES.T).ravel()
    bits = frequencies > np.median(frequencies)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
