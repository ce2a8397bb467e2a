"""From a distributed image to pixels, and from those to a face crop."""

from __future__ import annotations

import io
import math

import cv2
import numpy as np
from PIL import Image

from fer.errors import FerError
from fer.faces.landmarks import LEFT_EYE, RIGHT_EYE

# Where a similarity crop puts the eye centres, as fractions of its side: level, a third of it apart, the same distance
# from the left and the right edge, so that a mirrored image gives the mirrored crop. That leaves room
# for raised brows above, below for the chin or, where the jaw drops, the whole mouth, and for the ears at both sides.
RIGHT_EYE_AT, LEFT_EYE_AT = (0.33, 0.36), (0.67, 0.36)
Places = tuple[tuple[float, float], tuple[float, float]]  # of the right and the left eye, x and y

BACKGROUND = 0  # behind transparent pixels: renderers leave them black, and who ignores the alpha channel sees that
ORIENTATION = 0x0112  # the EXIF tag
STRETCH = (0.5, 99.5)  # percentiles of a 16-bit grey image that become 0 and 255


LARGEST = 1 << 21  # pixels: a larger photograph is reduced as soon as it is decoded


# --- decoding -------------------------------------------------------------------------------------------------------


def native(data: bytes, name: str, largest: int | None = LARGEST) -> np.ndarray:
    """Return the image as its file holds it: uint8 or uint16, grey (height, width) or RGB (height, width, 3).

    Palettes and CMYK become RGB; transparency is composited on `BACKGROUND`; the EXIF orientation is obeyed, as every
    viewer does, so that faces stand upright; of an animation or several pages the first is returned. An image of more
    than `largest` pixels is reduced to that many (None: none is): the faces of datasets are far larger than a detector
    needs, and a photograph of 108 megapixels would cost as much as thousands of others.

    Raises:
        FerError: the data are truncated, not an image, or of more than 2²⁷ pixels, or their numbers are neither of 8
            nor of 16 bits. (A JPEG may decode in spite of damage.)
    """
    jpeg = data.startswith(b"\xff\xd8")  # has no alpha; unchanged, OpenCV would ignore its orientation
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR if jpeg else cv2.IMREAD_UNCHANGED
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise FerError(f"{name} cannot be decoded, it is too large or damaged: {error.err}") from error
    if image is None:
        raise FerError(f"{name} cannot be decoded: the image is truncated or damaged")
    if image.dtype not in (np.uint8, np.uint16):
        raise FerError(f"{name} holds {image.dtype} numbers; expected 8 or 16 bits a pixel: convert it to one of these")
    image = upright(image, data)
    image = image if largest is None else reduced(image, largest)
    if image.ndim == 2:
        return image
    if image.shape[2] == 4:
        image = composited(image)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def upright(image: np.ndarray, data: bytes) -> np.ndarray:
    """Return an image turned as its EXIF orientation says, where OpenCV has not done so: PNG, WebP and AVIF."""
    if not (data.startswith((b"\x89PNG", b"RIFF")) or data[4:12] == b"ftypavif"):
        return image
    if not any(mark in data for mark in (b"eXIf", b"EXIF", b"Exif", b"irot", b"imir")):
        return image
    try:
        with Image.open(io.BytesIO(data)) as header:
            orientation = header.getexif().get(ORIENTATION, 1)
    except (OSError, ValueError, SyntaxError):  # damaged metadata of an image that could be decoded
        return image
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def reduced(image: np.ndarray, largest: int) -> np.ndarray:
    """Return the image with at most about `largest` pixels."""
    height, width = image.shape[:2]
    scale = math.sqrt(largest / (height * width))
    return image if scale >= 1 else resized(image, max(1, round(width * scale)), max(1, round(height * scale)))


def composited(image: np.ndarray) -> np.ndarray:
    """Return BGR pixels over `BACKGROUND` from BGR and alpha, dtype kept."""
    full = np.iinfo(image.dtype).max
    share = image[..., 3:].astype(np.float32) / full
    return np.rint(share * image[..., :3] + (1 - share) * BACKGROUND).astype(image.dtype)


def converted(image: np.ndarray, channels: int) -> np.ndarray:
    """Return a native image as uint8: (height, width) for 1 channel, (height, width, 3) in RGB order for 3.

    16-bit colour is divided by 257. 16-bit grey is stretched linearly, its percentiles 0.5 and 99.5 to 0 and 255:
    thermal cameras use a small part of their range, and that part moves with the room's temperature.
    """
    if image.dtype == np.uint16:
        image = stretched(image) if image.ndim == 2 else np.rint(image / 257).astype(np.uint8)
    if channels == 1:
        return grey(image)
    return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)


def stretched(image: np.ndarray) -> np.ndarray:
    """Return a 16-bit image as uint8, its range between the percentiles `STRETCH` stretched to 0 to 255."""
    low, high = np.percentile(image, STRETCH)
    return np.rint(np.clip((image - low) / max(high - low, 1), 0, 1) * 255).astype(np.uint8)


def decode(data: bytes, channels: int, name: str) -> np.ndarray:
    """Return the image as uint8: (height, width) for 1 channel, (height, width, 3) in RGB order for 3."""
    return converted(native(data, name), channels)


def grey(image: np.ndarray) -> np.ndarray:
    """Return an RGB image as grey, uint8 (height, width); a grey one as it is."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image


# --- cropping -------------------------------------------------------------------------------------------------------


def distributed(image: np.ndarray, size: int) -> np.ndarray:
    """Return the whole image at size × size, as its owners cropped it."""
    return resized(image, size, size)


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return the image at width × height, each axis averaged where it shrinks and interpolated where it grows."""
    for wanted in ((width, image.shape[0]), (width, height)):
        now = image.shape[1::-1]
        if now != wanted:
            shrinks = wanted[0] < now[0] or wanted[1] < now[1]
            image = cv2.resize(image, wanted, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return image


def similarity(
    image: np.ndarray, landmarks: np.ndarray, size: int, eye_places: Places = (RIGHT_EYE_AT, LEFT_EYE_AT)
) -> np.ndarray:
    """Return a size × size crop rotated, scaled and shifted so that the eye centres fall on their canonical places.

    What lies beyond the image is its border replicated.
    """
    eyes = np.stack([landmarks[RIGHT_EYE].mean(0), landmarks[LEFT_EYE].mean(0)]).astype(float)
    target = np.array(eye_places) * size - 0.5  # a pixel's centre has whole coordinates
    scale = np.linalg.norm(np.subtract(*target)) / np.linalg.norm(np.subtract(*eyes))
    if scale < 1:  # the warp reads four pixels for each of its own: averaging first keeps the others from aliasing
        height, width = image.shape[:2]
        image = resized(image, max(1, round(width * scale)), max(1, round(height * scale)))
        eyes = (eyes + 0.5) * (image.shape[1] / width, image.shape[0] / height) - 0.5
    return warped(image, similarity_matrix(target, eyes), size, size)


def warped(image: np.ndarray, matrix: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return a uint8 image of height × width whose pixel (x, y) shows the place `matrix` (2, 3) · (x, y, 1) of `image`.

    Interpolated linearly at steps of 1/32 pixel; beyond the image its border is replicated. In integers, so that it is
    the same on every processor, which OpenCV's warpAffine is not.
    """
    rows, columns = np.mgrid[:height, :width]
    places = (across * columns + down * rows + start for across, down, start in matrix)
    steps = [
        np.rint(32 * np.clip(place, 0, side - 1)).astype(np.int64)
        for place, side in zip(places, image.shape[1::-1], strict=True)
    ]
    (x, y), (fraction_x, fraction_y) = ([each >> 5 for each in steps], [each & 31 for each in steps])
    left, top = x.min(), y.min()  # OpenCV's maps hold 16 bits: of a panorama it is given the part that is shown
    window = image[top : y.max() + 2, left : x.max() + 2]
    whole = np.stack([x - left, y - top], axis=-1).astype(np.int16)
    fraction = (32 * fraction_y + fraction_x).astype(np.uint16)
    return cv2.remap(window, whole, fraction, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def similarity_matrix(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the 2×3 rotation, scaling and shift that takes two `source` points onto two `target` points."""
    (from_a, from_b), (to_a, to_b) = (points[:, 0] + 1j * points[:, 1] for points in (source, target))
    turn = (to_b - to_a) / (from_b - from_a)
    shift = to_a - turn * from_a
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
