"""Synthetic faces: drawn with OpenCV, seeded, without any download, so that the whole pipeline runs for everybody.

An expression is a set of facial action units (Ekman and Friesen, Facial Action Coding System, 1978; combinations
after EMFACS). Each unit moves some of the 68 landmarks of a neutral face; identity scales parts of the face; pose turns
it; then it is drawn from its landmarks, which are therefore true. The infrared rendering shares the visible geometry.

The pixels are the same bytes on every x86-64. Vectorised floating-point code is not: NumPy and OpenCV choose it by the
processor, and it differs in the last bit. So pixels are computed in integers throughout, only by OpenCV's exact modes
(`EXACT`, `blurred`); numbers in float64 (geometry, light) are rounded to integers that are coarser by a factor of 10¹⁰
before they reach a pixel.

Coordinates of the face: the unit is the distance of the outer eye corners, x to the image's right, y down, origin
between the eyes. "Right" is the subject's right, the image's left, as in iBUG's order (see `fer.faces.landmarks`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist

import cv2
import numpy as np

from fer.faces.landmarks import MIRROR

ACTION_UNITS: dict[str, tuple[int, ...]] = {
    "anger": (4, 5, 7, 23),
    "disgust": (9, 15, 16),
    "fear": (1, 2, 4, 5, 7, 20, 26),
    "happiness": (6, 12),
    "sadness": (1, 4, 15),
    "surprise": (1, 2, 5, 26),
    "neutral": (),
    "contempt": (12, 14),
}
ONE_SIDED = {"contempt"}  # its units act on the subject's left alone

# The mean face of 68 landmarks (frontal, x y in thousandths of the outer eye corners' distance).
NEUTRAL = np.array([
    (-843,   17), (-825,  241), (-795,  460), (-756,  664), (-680,  846), (-553, 1004), (-393, 1142), (-208, 1245),
    (  -3, 1276), ( 195, 1242), ( 369, 1138), ( 522, 1003), ( 644,  844), ( 721,  657), ( 761,  450), ( 792,  233),
    ( 812,   11),                                                                                       # jaw 0-16
    (-675, -130), (-567, -233), (-419, -269), (-268, -258), (-132, -210),                               # right brow
    ( 128, -218), ( 271, -268), ( 416, -277), ( 557, -239), ( 654, -139),                               # left brow
    (   3,  -33), (   4,  105), (   6,  241), (   9,  382),                                             # nose bridge
    (-144,  485), ( -71,  509), (   2,  528), (  74,  510), ( 140,  484),                               # nose base
    (-509,    0), (-417,  -57), (-310,  -57), (-220,    8), (-314,   26), (-422,   28),                 # right eye
    ( 207,    5), ( 301,  -64), ( 406,  -61), ( 491,   -6), ( 414,   22), ( 311,   22),                 # left eye
    (-321,  753), (-197,  682), ( -78,  648), (   0,  666), (  87,  648), ( 203,  685), ( 311,  747),   # outer lips
    ( 205,  837), (  94,  874), (   0,  882), ( -86,  876), (-203,  841),
    (-285,  754), ( -80,  742), (   0,  746), (  86,  742), ( 277,  750), (  86,  750), (   0,  755), ( -82,  750),
]) / 1000.0  # fmt: skip

# What each action unit does at full intensity: {landmarks of the subject's right: (dx, dy)}, in hundredths of the unit;
# the left side mirrors it. Middle points (8, 33, 51, 57, 62, 66) stand in for themselves.
MOVES: dict[int, dict[tuple[int, ...], tuple[float, float]]] = {
    1: {(21,): (0, -16), (20,): (0, -11), (19,): (0, -4)},
    2: {(17,): (0, -9), (18,): (0, -12), (19,): (0, -9), (20,): (0, -4)},
    4: {(21,): (5, 9), (20,): (3, 8), (19,): (1, 5), (18,): (0, 2)},
    5: {(37, 38): (0, -5)},
    6: {(40, 41): (0, -3), (36,): (0, -1)},
    7: {(40, 41): (0, -2), (37, 38): (0, 2)},
    9: {(31, 32): (-1, -6), (33,): (0, -5), (49, 50): (0, -6), (51,): (0, -6), (61, 62): (0, -4),
        (20, 21): (1, 5), (39,): (0, 1)},
    12: {(48,): (-13, -12), (60,): (-12, -11), (49, 59): (-8, -5), (50, 58): (-3, 0), (61, 67): (-3, 1)},
    14: {(48, 60): (-7, -3), (49, 59): (-3, 0)},
    15: {(48, 60): (1, 12), (49,): (0, 5), (59,): (0, 8), (58, 61, 67): (0, 2)},
    16: {(58, 59): (0, 8), (57,): (0, 8), (67,): (0, 9), (66,): (0, 9)},
    20: {(48, 60): (-13, 3), (49, 59): (-8, 2), (58,): (-4, 3)},
    23: {(48, 60): (6, 0), (49, 50): (2, 4), (51,): (0, 4), (58, 59): (2, -5), (57,): (0, -5), (61, 62): (0, 2)},
    26: {(59,): (2, 15), (58,): (2, 27), (57,): (0, 28), (67,): (0, 29), (66,): (0, 30), (60,): (3, 4), (48,): (3, 5),
         (8,): (0, 24), (7,): (0, 23), (6,): (0, 20), (5,): (1, 15), (4,): (2, 8), (3,): (1, 4)},
}  # fmt: skip

JAW, FOREHEAD_TOP = slice(0, 17), -0.92
RIGHT_BROW, LEFT_BROW = range(17, 22), range(22, 27)
EYES = (range(36, 42), range(42, 48))
OUTER_LIPS, INNER_LIPS = range(48, 60), range(60, 68)
SUBPIXEL = 4  # bits of OpenCV's fixed-point coordinates
EXACT = cv2.INTER_LINEAR_EXACT
ONE = 1 << 12  # of light, in integers
NORMAL = [NormalDist().inv_cdf((step + 0.5) / 256) for step in range(256)]  # the standard normal distribution


def displacements() -> dict[int, np.ndarray]:
    """Return (68, 2) landmark shifts of each action unit at full intensity, both sides."""
    shifts = {}
    for unit, moves in MOVES.items():
        shift = np.zeros((68, 2))
        for points, (dx, dy) in moves.items():
            for point in points:
                shift[point] = dx / 100, dy / 100
                if MIRROR[point] != point:
                    shift[MIRROR[point]] = -dx / 100, dy / 100
        shifts[unit] = shift
    return shifts


SHIFTS = displacements()


@dataclass(frozen=True)
class Identity:
    """What a subject keeps from image to image."""

    points: np.ndarray  # (68, 2), the neutral face of this subject
    skin: np.ndarray  # BGR, 0-255
    hair: np.ndarray
    lips: np.ndarray
    iris: np.ndarray
    brow: float  # half thickness of the brows
    hairline: float  # y
    volume: float  # of the hair, beyond the skull
    length: float  # y at which the hair ends
    parting: float  # slant of the fringe, to either side
    beard: float  # 0 (none) to 1
    glasses: bool


@dataclass(frozen=True)
class Rendering:
    """One synthetic face.

    `visible`: uint8 (size, size, 3), BGR. `landmarks`: float32 (68, 2), x and y in pixels, true. `infrared` is drawn
    when asked for: uint8 (size, size), bright where warm, in register with `visible`. So is `silhouette`: uint8
    (size, size), 255 where the head is and 0 beside it.
    """

    visible: np.ndarray
    landmarks: np.ndarray
    _scene: Scene = field(repr=False)

    @cached_property
    def infrared(self) -> np.ndarray:
        """The same scene by its warmth, uint8 (size, size); drawn at the first use."""
        return draw_infrared(self._scene)

    @cached_property
    def silhouette(self) -> np.ndarray:
        """Where the head is, uint8 (size, size), 255 inside and 0 beside it; drawn at the first use."""
        canvas = np.zeros((self._scene.size, self._scene.size, 3), np.uint8)
        draw_face(canvas, self._scene, dict.fromkeys(visible_palette(self._scene.identity), np.full(3, 255)))
        return canvas[..., 0]


@dataclass(frozen=True)
class Scene:
    """A posed face on its canvas, ready to be drawn."""

    identity: Identity
    points: np.ndarray  # (68, 2) in face coordinates, expression included
    units: dict[int, float]  # intensity of every active unit
    one_sided: bool  # the units act on the subject's left alone
    yaw: float
    matrix: np.ndarray  # (2, 3): face coordinates to pixels
    size: int
    noise: int  # seed of background and sensor

    def project(self, points: Iterable) -> np.ndarray:
        """Return pixels (n, 2) of points in face coordinates: turned about the vertical axis, then onto the canvas."""
        points = np.asarray(list(points), dtype=float).reshape(-1, 2)
        x, y = points.T
        nose = np.clip((y + 0.1) / 0.5, 0, 1) * (np.abs(x) < 0.1) * (y < 0.5)
        depth = 0.45 - 0.7 * np.minimum(x**2, 1) + 0.25 * nose
        turned = np.stack([x * np.cos(self.yaw) + depth * np.sin(self.yaw), y], 1)
        return turned @ self.matrix[:, :2].T + self.matrix[:, 2]

    @property
    def scale(self) -> float:
        """Pixels a unit."""
        return float(np.hypot(*self.matrix[:, 0]))


def render(
    expression: str, subject: int, take: int, *, size: int = 192, seed: int = 0, intensity: float = 1.0
) -> Rendering:
    """Draw one face.

    Args:
        expression: a key of ACTION_UNITS.
        subject: identity: the same (seed, subject) is the same person.
        take: pose, light, intensity, background and noise vary with (seed, subject, expression, take).
        size: side of the square image in pixels, at least 24.
        intensity: share of the take's own apex that the expression has reached, from 0 (the neutral face) to 1; pose,
            light and background stay, as in the frames of a sequence.

    Raises:
        ValueError: unknown expression, or a size below 24.
    """
    if expression not in ACTION_UNITS:
        raise ValueError(f"unknown expression {expression!r}. Known: {', '.join(ACTION_UNITS)}")
    if size < 24:
        raise ValueError(f"size {size}: a face needs at least 24 pixels")
    code = list(ACTION_UNITS).index(expression)
    generator = np.random.default_rng([seed, subject, code, take, 1])
    scene = pose(make_identity(seed, subject), expression, generator, size, intensity)
    return Rendering(draw_visible(scene), scene.project(scene.points).astype(np.float32), scene)


def proportional(samples: float, counts: Iterable[int], least: int = 1) -> list[int]:
    """Return about `samples` images spread over the classes as `counts` are, at least `least` a class."""
    counts = list(counts)
    return [max(least, round(samples * count / sum(counts))) for count in counts]


def make_identity(seed: int, subject: int) -> Identity:
    """Draw a person: shape of the face, colours, hair, beard and glasses, decided by (seed, subject) alone."""
    generator = np.random.default_rng([seed, subject, 0])
    points = NEUTRAL.copy()
    shape = np.clip(generator.normal(0, 1, 9), -2, 2)
    points[JAW, 0] *= 1 + 0.04 * shape[0]
    points[4:13, 1] += 0.04 * shape[1]
    points[17:27, 1] += 0.02 * shape[2]
    points[27:36, 0] *= 1 + 0.10 * shape[3]
    points[48:68, 0] *= 1 + 0.07 * shape[4]
    points[48:68, 1] += 0.02 * shape[5]
    points[17:27, 0] *= 1 + 0.03 * shape[8]
    points[36:48, 0] *= 1 + 0.03 * shape[8]
    for eye in EYES:
        centre = points[eye].mean(0)
        points[eye] = centre + (points[eye] - centre) * (1 + 0.06 * shape[6], 1 + 0.14 * shape[7])
    tone = generator.uniform(0, 1)
    skin = (1 - tone) * np.array([175, 200, 232]) + tone * np.array([62, 92, 135])
    hair = np.array([[22, 25, 32], [35, 55, 85], [60, 105, 160], [120, 120, 125]])[generator.integers(0, 4)]
    return Identity(
        points=points,
        skin=skin,
        hair=hair * generator.uniform(0.7, 1.2),
        lips=0.62 * skin + 0.38 * np.array([70, 60, 175]),
        iris=np.array([[45, 70, 100], [110, 90, 60], [60, 90, 60]])[generator.integers(0, 3)],
        brow=generator.uniform(0.028, 0.05),
        hairline=generator.uniform(-0.72, -0.58),
        volume=generator.uniform(0.04, 0.20),
        length=generator.uniform(0.7, 1.6) if generator.random() < 0.35 else generator.uniform(0.0, 0.15),
        parting=generator.uniform(-0.13, 0.13),
        beard=generator.uniform(0.3, 1.0) if generator.random() < 0.2 else 0.0,
        glasses=bool(generator.random() < 0.12),
    )


def pose(identity: Identity, expression: str, generator: np.random.Generator, size: int, reached: float = 1.0) -> Scene:
    """Return the subject with the expression's units, some stray ones, and a pose.

    The apex of the expression is drawn from 0.8 to 1, as of one who poses it; `reached` is the share of it that is
    shown.
    """
    intensity = generator.uniform(0.8, 1.0) * reached
    units = {unit: intensity * generator.uniform(0.8, 1.2) for unit in ACTION_UNITS[expression]}
    for unit in generator.choice(list(SHIFTS), 2, replace=False):
        units[int(unit)] = units.get(int(unit), 0) + generator.uniform(0, 0.15)
    shift = sum(value * SHIFTS[unit] for unit, value in units.items())
    one_sided = expression in ONE_SIDED
    if one_sided:
        shift = shift * (identity.points[:, :1] > 0.02)
    points = identity.points + shift
    if expression == "happiness" and intensity > 0.65:  # broad smiles part the lips
        points[65:68, 1] += 0.07 * intensity
        points[55:60, 1] += 0.05 * intensity
    points[65:68, 1] = np.maximum(points[65:68, 1], points[[63, 62, 61], 1])  # lips do not cross
    points[56:59, 1] = np.maximum(points[56:59, 1], points[[65, 66, 67], 1] + 0.06)
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        points[upper, 1] = min(points[upper, 1], points[lower, 1] - 0.02)

    angle = np.radians(generator.uniform(-9, 9))
    scale = size * 0.375 * generator.uniform(0.93, 1.05)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn[:, 1] *= generator.uniform(0.96, 1.03)  # a small pitch
    centre = np.array([0.5, 0.53]) * size + generator.uniform(-0.025, 0.025, 2) * size
    offset = centre - turn @ (0, 0.30)
    chin = (points[JAW] @ turn.T)[:, 1].max() + offset[1]
    offset[1] -= max(0, chin - 0.96 * size)  # a dropped jaw stays inside the frame
    matrix = np.column_stack([turn, offset])
    yaw = np.radians(generator.uniform(-14, 14))
    return Scene(identity, points, units, one_sided, yaw, matrix, size, int(generator.integers(2**31)))


# --- drawing --------------------------------------------------------------------------------------------------------


def visible_palette(identity: Identity) -> dict[str, np.ndarray]:
    """Return the colours, BGR from 0 to 255, of all parts of a person's face."""
    return {
        "hair": identity.hair,
        "skin": identity.skin,
        "neck": identity.skin * 0.72,
        "ear": identity.skin * 0.86,
        "brow": np.minimum(0.75 * identity.hair + 0.12 * identity.skin, 0.6 * identity.skin),
        "sclera": np.array([225, 228, 232]),
        "iris": identity.iris,
        "pupil": np.array([15, 15, 18]),
        "lid": identity.skin * 0.35,
        "crease": identity.skin * 0.62,
        "nose": identity.skin * 0.55,
        "lips": identity.lips,
        "mouth": np.array([28, 22, 55]),
        "teeth": np.array([225, 232, 238]),
        "frame": np.array([35, 32, 34]),
    }


def draw_visible(scene: Scene) -> np.ndarray:
    """Draw the scene as a camera sees it, uint8 (size, size, 3), BGR: lit, blurred, with gamma and noise."""
    generator = np.random.default_rng(scene.noise)
    identity, size = scene.identity, scene.size
    corners = generator.uniform(40, 210, (2, 2, 1)) + generator.normal(0, 18, (2, 2, 3))
    corners = np.clip(corners, 0, 255).astype(np.uint8)
    canvas = cv2.resize(corners, (size, size), interpolation=EXACT)
    draw_face(canvas, scene, visible_palette(identity))
    image = lit(canvas, light_map(scene, generator), fold_shadows(scene))
    image = blurred(image, max(0.3, size / 260))
    image = cv2.LUT(image, gamma_table(generator.uniform(0.8, 1.25)))
    return with_noise(image, generator, generator.uniform(1, 6))


def lit(canvas: np.ndarray, light: np.ndarray, shadows: np.ndarray) -> np.ndarray:
    """Return the canvas, uint8 (height, width, 3), times `light` (integers, ONE is 1) times 1 - `shadows` / 400."""
    light = light.astype(np.int32) * (400 - shadows.astype(np.int32)) // 400
    return np.minimum((canvas * light[..., None] + ONE // 2) // ONE, 255).astype(np.uint8)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return the uint8 image blurred by a Gaussian of `sigma` pixels, in OpenCV's fixed-point arithmetic."""
    return cv2.GaussianBlur(image, (0, 0), sigma, hint=cv2.ALGO_HINT_ACCURATE)


def gamma_table(exponent: float) -> np.ndarray:
    """Return the table, uint8 (256,), that raises brightness to a power."""
    return np.array([round(255 * (value / 255) ** exponent) for value in range(256)], np.uint8)


def with_noise(image: np.ndarray, generator: np.random.Generator, deviation: float) -> np.ndarray:
    """Return the uint8 image with normal noise, the same in all its channels."""
    steps = np.array([round(deviation * value) for value in NORMAL], np.int16)
    noise = steps[np.frombuffer(generator.bytes(image.shape[0] * image.shape[1]), np.uint8)].reshape(image.shape[:2])
    return np.clip(image + (noise if image.ndim == 2 else noise[..., None]), 0, 255).astype(np.uint8)


def blended(over: np.ndarray, under: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return `over` where `share` is 255, `under` where it is 0, and both between; uint8, share (height, width)."""
    share = share.astype(np.uint16)[..., None]
    return ((share * over + (255 - share) * under + 127) // 255).astype(np.uint8)


def draw_infrared(scene: Scene) -> np.ndarray:
    """Draw the face by its warmth: skin warm, inner eye corners and mouth warmest, nose tip, brows and hair cool."""
    generator = np.random.default_rng([scene.noise, 2])
    warmth = {
        "hair": 92, "skin": 178, "neck": 186, "ear": 150, "brow": 140, "sclera": 170, "iris": 164, "pupil": 162,
        "lid": 180, "crease": 186, "nose": 168, "lips": 192, "mouth": 212, "teeth": 196, "frame": 70, "lens": 96,
    }  # fmt: skip
    canvas = np.full((scene.size, scene.size, 3), generator.integers(25, 60), np.uint8)
    draw_face(canvas, scene, {name: np.full(3, value) for name, value in warmth.items()})
    points, warmer = scene.points, np.zeros((48, 48))
    for place, strength, width in (
        (points[39], 32, 0.10), (points[42], 32, 0.10), (points[33], -38, 0.17), ((0, -0.45), 12, 0.35),
    ):  # fmt: skip
        warmer += strength * blob(scene, place, width)
    image = canvas[..., 0] + enlarged(warmer, 64, scene.size) // 64
    image = blurred(np.clip(image, 0, 255).astype(np.uint8), max(0.5, scene.size / 110))
    return with_noise(image, generator, 2.5)


def draw_face(canvas: np.ndarray, scene: Scene, palette: dict[str, np.ndarray]) -> None:
    """Draw everything that has an outline, back to front."""
    points, identity = scene.points, scene.identity
    jaw = points[JAW]
    right, left = jaw[0], jaw[-1]

    def fill(outline, colour: str) -> None:
        polygon(canvas, scene.project(outline), palette[colour])

    def line(path, colour: str, width: float) -> None:
        stroke(canvas, scene.project(path), palette[colour], width * scene.scale)

    skull = arc(right, left, FOREHEAD_TOP)
    reach = np.array([identity.volume, 0.0])
    crown = arc(right - reach, left + reach, FOREHEAD_TOP - 1.2 * identity.volume)
    fill([*crown, (left[0] + 0.8 * reach[0], identity.length), (right[0] - 0.8 * reach[0], identity.length)], "hair")
    fill([(-0.42, 0.9), (0.42, 0.9), (0.52, 2.2), (-0.52, 2.2)], "neck")
    for side in (right, left):
        outwards = np.sign(side[0])
        fill(ellipse(side + (0.03 * outwards, 0.14), 0.09, 0.20), "ear")
    fill([*jaw, *skull[::-1]], "skin")
    temples = left - (0.01, 0.12), right + (0.01, -0.12)
    fringe = arc(*temples, identity.hairline)
    fringe[:, 1] += identity.parting * np.sin(np.linspace(0, 2 * np.pi, len(fringe)))
    fill([*arc(*temples[::-1], FOREHEAD_TOP - 0.01), *fringe], "hair")
    for brow in (RIGHT_BROW, LEFT_BROW):
        taper = identity.brow * np.array([0.5, 0.9, 1.0, 1.05, 0.9])[:: 1 if brow is RIGHT_BROW else -1, None]
        path = points[brow]
        fill([*(path - taper * (0, 0.8)), *(path + taper * (0, 1.0))[::-1]], "brow")
    for eye in EYES:
        draw_eye(canvas, scene, palette, points[eye])
    draw_nose(scene, fill, line)
    draw_mouth(scene, fill, line)
    if identity.glasses:
        draw_glasses(scene, palette, fill, line)


def fold_shadows(scene: Scene) -> np.ndarray:
    """Return how dark it is, uint8 (size, size), in the soft folds of the face and those that its action units make."""
    shadows = np.zeros((scene.size, scene.size), np.uint8)
    for path, depth in (*steady_folds(scene.points), *smile_folds(scene), *frown_folds(scene.points, scene.units)):
        curve = smooth(smooth(scene.project(path), closed=False), closed=False)
        stroke(shadows, curve, (255 * min(depth, 1),), 0.03 * scene.scale)
    return blurred(shadows, max(0.4, 0.016 * scene.scale))


def steady_folds(points: np.ndarray) -> list[tuple[list, float]]:
    """Return (path, depth 0 to 1) of the folds of every face: beside the nose and below the lower lip."""
    below = points[57] + (0, 0.09)
    folds = [([below - (0.10, 0), below + (0, 0.012), below + (0.10, 0)], 0.4)]
    for wing, brow, side in ((31, 21, -1), (35, 22, 1)):
        at = points[wing]
        folds.append(([points[brow] * (0.75, 1) + (0, 0.10), points[28] + (0.085 * side, 0)], 0.25))
        folds.append(([at + (0, -0.11), at + (0.045 * side, -0.055), at + (0.01 * side, 0)], 0.6))
    return folds


def smile_folds(scene: Scene) -> list[tuple[list, float]]:
    """Return the nasolabial folds (units 9, 12, 14, 15) and those below the eyes (6 and 7)."""
    points, units = scene.points, scene.units
    depth = max(units.get(12, 0), 0.9 * units.get(9, 0), 0.6 * units.get(15, 0))
    folds = []
    for wing, corner, eye, side in ((31, 48, 41, -1), (35, 54, 46, 1)):
        acting = 0 if scene.one_sided and side < 0 else 1
        start, end = points[wing] + (0.06 * side, -0.05), points[corner] + (0.09 * side, 0.02)
        bows = [start + part * (end - start) + (bow * side, 0) for part, bow in ((0.35, 0.045), (0.7, 0.05))]
        folds.append(([start, *bows, end], 0.12 + 0.65 * depth * acting))
        if units.get(14, 0) > 0.25 and acting:
            folds.append(([points[corner] + (0.05 * side, -0.05), points[corner] + (0.05 * side, 0.05)], 0.5))
        bag = points[eye] + (0, 0.065)
        strain = max(units.get(6, 0), 0.6 * units.get(7, 0)) * acting
        folds.append(([bag + (-0.10, 0), bag + (0.03, 0.02), bag + (0.16, 0)], 0.1 + 0.5 * strain))
    return folds


def frown_folds(points: np.ndarray, units: dict[int, float]) -> list[tuple[list, float]]:
    """Return the folds between the brows (unit 4), across the forehead (1 and 2) and across the nose (9)."""
    folds = []
    if units.get(4, 0) > 0.25:
        for inner, side in ((21, -1), (22, 1)):
            at = points[inner] * (0.45, 1) + (0, 0.02)
            folds.append(([at + (0.01 * side, -0.08), at + (0, 0.07)], 0.35 + 0.6 * units[4]))
    raised = max(units.get(1, 0), units.get(2, 0))
    if raised > 0.3:
        wide = 0.30 if units.get(2, 0) > 0.3 else 0.20  # unit 1 alone wrinkles the middle
        for height in (-0.42, -0.49):
            folds.append(([(-wide, height), (0, height - 0.03), (wide, height)], 0.2 + 0.45 * raised))
    if units.get(9, 0) > 0.25:
        for height in (0.02, 0.12):
            folds.append(([(-0.09, height + 0.04), (0, height), (0.09, height + 0.04)], 0.15 + 0.35 * units[9]))
    return folds


def draw_eye(canvas: np.ndarray, scene: Scene, palette: dict[str, np.ndarray], eye: np.ndarray) -> None:
    """Draw one eye, its lid and creases on `canvas`; `eye`: (6, 2), its landmarks in face coordinates."""
    outline = smooth(scene.project(eye))
    left, top = np.maximum(np.floor(outline.min(0)).astype(int) - 2, 0)
    right, bottom = np.minimum(np.ceil(outline.max(0)).astype(int) + 3, scene.size)
    if right <= left or bottom <= top:
        return
    window = canvas[top:bottom, left:right]
    inside = np.zeros(window.shape[:2], np.uint8)
    polygon(inside, outline - (left, top), (255,))
    ball = np.ascontiguousarray(np.broadcast_to(palette["sclera"], window.shape).astype(np.uint8))
    centre = scene.project([eye.mean(0)])[0] - (left, top)
    disc(ball, centre, 0.078 * scene.scale, palette["iris"])
    disc(ball, centre, 0.038 * scene.scale, palette["pupil"])
    disc(ball, centre - 0.025 * scene.scale, 0.014 * scene.scale, palette["sclera"])
    window[:] = blended(ball, window, inside)
    stroke(canvas, smooth(scene.project(eye[:4]), closed=False), palette["lid"], 0.030 * scene.scale)
    stroke(canvas, scene.project(eye[[3, 4, 5, 0]]), palette["crease"], 0.014 * scene.scale)
    stroke(canvas, scene.project(eye[:4] - (0, 0.055)), palette["crease"], 0.014 * scene.scale)


def draw_nose(scene: Scene, fill, line) -> None:
    """Draw the nostrils and the line below the nose."""
    points = scene.points
    for nostril in (32, 34):
        fill(ellipse(points[nostril] + (0, -0.012), 0.045, 0.024), "nose")
    line(points[31:36], "crease", 0.018)


def draw_mouth(scene: Scene, fill, line) -> None:
    """Draw the lips and, where they part, the mouth and the teeth."""
    outer, inner = scene.points[OUTER_LIPS], scene.points[INNER_LIPS]
    fill(smooth(outer), "lips")
    gap = inner[6, 1] - inner[2, 1]
    if gap > 0.03:
        fill(smooth(inner), "mouth")
        depth = min(0.45 * gap, 0.07)
        fill([*inner[:5], *(inner[3:0:-1] * (0.95, 1) + (0, depth))], "teeth")
    line([outer[0], *smooth(inner[:5], closed=False), outer[6]], "nose", 0.022)


def draw_glasses(scene: Scene, palette: dict[str, np.ndarray], fill, line) -> None:
    """Draw two rims, a bridge and the temples; in the infrared the lenses too, as glass hides the warmth behind it."""
    points, rims = scene.points, []
    for eye in EYES:
        rims.append(ellipse(points[eye].mean(0) + (0, 0.03), 0.235, 0.17))
        if "lens" in palette:
            fill(rims[-1], "lens")
        line([*rims[-1], rims[-1][0]], "frame", 0.016)
    line([rims[0][0], rims[1][8]], "frame", 0.016)
    line([rims[0][8], points[0]], "frame", 0.016)
    line([rims[1][0], points[16]], "frame", 0.016)


def light_map(scene: Scene, generator: np.random.Generator) -> np.ndarray:
    """Return a map of light, integers (size, size): a direction, the roundness of the head, shades of its features."""
    points = scene.points
    light = np.ones((48, 48))
    across, down = np.meshgrid(np.linspace(-1, 1, 48), np.linspace(-1, 1, 48))
    angle, strength = generator.uniform(0, 2 * np.pi), generator.uniform(0, 0.28)
    light += strength * (np.cos(angle) * across + np.sin(angle) * down)
    shades = [
        ((points[0] + points[3]) / 2, -0.28, 0.28), ((points[16] + points[13]) / 2, -0.28, 0.28),
        (points[36:42].mean(0) - (0, 0.04), -0.16, 0.20), (points[42:48].mean(0) - (0, 0.04), -0.16, 0.20),
        ((-0.42, 0.36), 0.10, 0.20), ((0.42, 0.36), 0.10, 0.20), (points[30], 0.16, 0.10), ((0, -0.42), 0.10, 0.35),
        ((0.15, FOREHEAD_TOP), 0.22, 0.16),
        (points[57] + (0, 0.09), -0.12, 0.12), (points[33] + (0, 0.06), -0.14, 0.10),
        (points[8] + (0, 0.14), -0.30, 0.40),
        (points[8] - (0, 0.13), 0.06, 0.14), (points[8] - (0, 0.15), -0.30 * scene.identity.beard, 0.32),
    ]  # fmt: skip
    for place, strength, width in shades:
        light += strength * blob(scene, place, width)
    return enlarged(np.clip(light, 0.15, 1.6), ONE, scene.size)


def enlarged(coarse: np.ndarray, one: int, size: int) -> np.ndarray:
    """Return a coarse float64 map as integers (size, size), of which `one` is 1, interpolated exactly."""
    return cv2.resize(np.round(coarse * one).astype(np.int16), (size, size), interpolation=EXACT)


def blob(scene: Scene, place, width: float) -> np.ndarray:
    """Return a 48×48 Gaussian of height 1 around a place in face coordinates, `width` units wide."""
    x, y = scene.project([place])[0] * 48 / scene.size - 0.5
    sigma = width * scene.scale * 48 / scene.size
    row, column = np.ogrid[:48, :48]
    return np.exp(-((column - x) ** 2) / (2 * sigma**2)) * np.exp(-((row - y) ** 2) / (2 * sigma**2))


# --- outlines -------------------------------------------------------------------------------------------------------


def arc(start, end, top: float) -> np.ndarray:
    """Return 17 points from `start` over `top` to `end`: half an ellipse, squared a little as skulls are."""
    angle = np.linspace(np.pi, 0, 17)
    (x0, y0), (x1, y1) = start, end
    base = np.linspace(y0, y1, 17)
    across = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.8
    up = np.clip(np.sin(angle), 0, 1) ** 0.8
    return np.stack([(x0 + x1) / 2 + (x1 - x0) / 2 * across, base + (top - base) * up], 1)


def ellipse(centre, width: float, height: float) -> np.ndarray:
    """Return 16 points on an ellipse of the given half axes, float64 (16, 2)."""
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    return np.asarray(centre) + np.stack([width * np.cos(angle), height * np.sin(angle)], 1)


def smooth(points: np.ndarray, closed: bool = True) -> np.ndarray:
    """Return a rounder outline through the points (one step of the four-point scheme of Dyn, Levin and Gregory)."""
    before, after, beyond = np.roll(points, 1, 0), np.roll(points, -1, 0), np.roll(points, -2, 0)
    if not closed:
        before[0], after[-1], beyond[-1], beyond[-2] = points[0], points[-1], points[-1], points[-1]
    middle = (9 * (points + after) - before - beyond) / 16
    rounder = np.stack([points, middle], 1).reshape(-1, 2)
    return rounder if closed else rounder[:-1]


def fixed(points: np.ndarray) -> np.ndarray:
    """Return points in OpenCV's fixed-point coordinates, int32, so that edges lie between pixels."""
    return np.round(points * (1 << SUBPIXEL)).astype(np.int32)


def polygon(canvas: np.ndarray, points: np.ndarray, colour) -> None:
    """Fill the outline `points`, float (n, 2) in pixels, with smooth edges."""
    cv2.fillPoly(canvas, [fixed(points)], tuple(map(float, colour)), cv2.LINE_AA, SUBPIXEL)


def stroke(canvas: np.ndarray, points: np.ndarray, colour, width: float) -> None:
    """Draw an open line through `points`, float (n, 2) in pixels, at least one pixel wide."""
    cv2.polylines(
        canvas, [fixed(points)], False, tuple(map(float, colour)), max(1, round(width)), cv2.LINE_AA, SUBPIXEL
    )


def disc(canvas: np.ndarray, centre: np.ndarray, radius: float, colour) -> None:
    """Fill a circle; centre and radius in pixels, which may be fractions."""
    x, y = fixed(centre)
    cv2.circle(
        canvas, (int(x), int(y)), round(radius * (1 << SUBPIXEL)), tuple(map(float, colour)), -1, cv2.LINE_AA, SUBPIXEL
    )
