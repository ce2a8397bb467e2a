"""The synthetic faces are faces to dlib, their landmarks are true, and their expressions are action units."""

import cv2
import numpy as np
import pytest

from fer.datasets import synthetic
from fer.datasets.synthetic import ACTION_UNITS, render
from fer.faces import landmarks

FACES = [(name, subject, 5) for name in ACTION_UNITS for subject in range(15)]
IOD = (36, 45)  # outer eye corners


@pytest.fixture(scope="module")
def detections():
    """(Rendering, dlib's face or None) of 120 faces: every expression, 15 subjects."""
    renderings = [render(*face) for face in FACES]
    return [(item, landmarks.find(cv2.cvtColor(item.visible, cv2.COLOR_BGR2GRAY))) for item in renderings]


def test_dlib_finds_at_least_95_percent_of_the_faces(detections):
    assert np.mean([found is not None for _, found in detections]) >= 0.95


def test_dlib_s_landmarks_lie_within_6_percent_of_the_inter_ocular_distance_of_the_truth(detections):
    errors = []
    for rendering, found in detections:
        if found is not None:
            distance = np.linalg.norm(rendering.landmarks[IOD[0]] - rendering.landmarks[IOD[1]])
            errors.append(np.linalg.norm(found.landmarks - rendering.landmarks, axis=1).mean() / distance)
    assert np.mean(errors) <= 0.06


def test_dlib_finds_most_faces_at_the_size_of_fer2013():
    found = 0
    for face in FACES[::2]:
        small = cv2.resize(
            cv2.cvtColor(render(*face).visible, cv2.COLOR_BGR2GRAY), (48, 48), interpolation=cv2.INTER_AREA
        )
        found += landmarks.find(small, enlarge=5, padding=0.25) is not None
    assert found / len(FACES[::2]) >= 0.9


def test_the_same_arguments_draw_the_same_face_to_the_bit():
    first, again = render("fear", 3, 4), render("fear", 3, 4)
    assert np.array_equal(first.visible, again.visible) and np.array_equal(first.infrared, again.infrared)
    assert np.array_equal(first.landmarks, again.landmarks)


@pytest.mark.parametrize(
    "change", [("joy", 0, 0, 1), ("take", 0, 1, 0), ("subject", 1, 0, 0)], ids=lambda item: item[0]
)
def test_another_expression_take_or_subject_draws_another_face(change):
    _, subject, take, expression = change
    names = list(ACTION_UNITS)
    assert not np.array_equal(render(names[0], 0, 0).visible, render(names[expression], subject, take).visible)


def test_a_subject_keeps_shape_and_colours_from_take_to_take():
    first, again, other = (synthetic.make_identity(0, subject) for subject in (7, 7, 8))
    assert np.array_equal(first.points, again.points) and np.array_equal(first.skin, again.skin)
    assert not np.array_equal(first.points, other.points)


def shape_of(name):
    """Mean landmarks of an expression over subjects and takes, in face coordinates."""
    scenes = [
        synthetic.pose(synthetic.make_identity(0, subject), name, np.random.default_rng(subject), 192)
        for subject in range(40)
    ]
    return np.mean([scene.points for scene in scenes], axis=0)


def test_action_units_move_the_landmarks_their_way():
    neutral, happy, surprised, angry, sad = map(shape_of, ("neutral", "happiness", "surprise", "anger", "sadness"))
    corners, inner_brows, chin = [48, 54], [21, 22], 8
    assert (happy[corners, 1] < neutral[corners, 1] - 0.04).all(), "12 raises the corners of the mouth"
    assert np.ptp(happy[corners, 0]) > np.ptp(neutral[corners, 0]) + 0.08, "and draws them apart"
    assert surprised[66, 1] - surprised[62, 1] > 0.12 and surprised[chin, 1] > neutral[chin, 1] + 0.08, (
        "26 drops the jaw"
    )
    assert (surprised[17:27, 1] < neutral[17:27, 1]).all(), "1 and 2 raise the brows"
    assert (angry[inner_brows, 1] > neutral[inner_brows, 1] + 0.03).all(), "4 lowers the brows"
    assert (sad[corners, 1] > neutral[corners, 1] + 0.04).all(), "15 lowers the corners of the mouth"


def test_contempt_moves_one_side_of_the_mouth():
    neutral, contempt = shape_of("neutral"), shape_of("contempt")
    assert abs(contempt[48] - neutral[48]).max() < 0.02 < abs(contempt[54] - neutral[54]).max()


def test_mirroring_twice_gives_every_landmark_back():
    assert (synthetic.MIRROR[synthetic.MIRROR] == np.arange(68)).all()


@pytest.mark.parametrize("name", ACTION_UNITS)
def test_the_infrared_face_is_warm_where_the_visible_face_is(name):
    rendering = render(name, 2, 1)
    inside = np.zeros(rendering.infrared.shape, np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(rendering.landmarks.astype(np.int32)), 1)
    far = cv2.dilate(inside, np.ones((91, 91))) == 0
    assert rendering.infrared[inside == 1].mean() > rendering.infrared[far].mean() + 60


def scene_of(name, subject, take=0):
    return synthetic.pose(synthetic.make_identity(0, subject), name, np.random.default_rng([subject, take]), 192)


@pytest.mark.parametrize("name", ACTION_UNITS)
def test_the_whole_face_is_inside_the_frame_whatever_the_jaw_does(name):
    for subject in range(100):
        scene = scene_of(name, subject)
        points = scene.project(scene.points)
        assert points.min() > 0 and points.max() < 191


def test_closed_lips_show_no_teeth():
    for name in ("neutral", "sadness", "anger"):
        gaps = [np.subtract(*scene_of(name, subject).points[[66, 62], 1]) for subject in range(40)]
        assert np.median(gaps) < 0.03, name  # the gap from which the inside of the mouth is drawn


def test_contempt_folds_one_side_of_the_face():
    def depths(name):
        scene = scene_of(name, 3)
        sides = {-1: [], 1: []}
        for path, depth in synthetic.smile_folds(scene):
            sides[int(np.sign(np.mean(path, axis=0)[0]))].append(depth)
        return sum(sides[-1]), sum(sides[1])

    right, left = depths("contempt")
    assert left > 2 * right
    right, left = depths("happiness")
    assert left == pytest.approx(right)


def test_brows_are_darker_than_the_skin_even_of_fair_hair():
    for subject in range(40):
        scene = scene_of("neutral", subject)
        brow = synthetic.visible_palette(scene.identity)["brow"]
        assert (brow < 0.7 * scene.identity.skin).all()


def test_glasses_are_rare_and_cold_in_the_infrared():
    wearers = [subject for subject in range(100) if synthetic.make_identity(0, subject).glasses]
    assert 0 < len(wearers) < 30
    rendering = render("neutral", wearers[0], 0)
    x, y = rendering.landmarks[36:42].mean(0).round().astype(int)
    cheek_x, cheek_y = rendering.landmarks[[2, 31]].mean(0).round().astype(int)
    assert rendering.infrared[y, x] < rendering.infrared[cheek_y, cheek_x] - 30


@pytest.mark.parametrize("size", [24, 48, 96, 256])
def test_any_size_from_24_pixels_can_be_drawn(size):
    rendering = render("surprise", 0, 0, size=size)
    assert rendering.visible.shape == (size, size, 3) and rendering.visible.dtype == np.uint8
    assert rendering.infrared.shape == (size, size)


def test_an_unknown_expression_and_a_tiny_size_are_refused():
    with pytest.raises(ValueError, match="unknown expression 'joy'. Known: anger, disgust"):
        render("joy", 0, 0)
    with pytest.raises(ValueError, match="at least 24"):
        render("anger", 0, 0, size=23)
