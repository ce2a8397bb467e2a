"""align keeps order and pixels, says what it found, and puts eyes where they belong."""

import cv2
import numpy as np
import pandas as pd
import pytest

from fer import params
from fer.datasets import Original
from fer.datasets.synthetic import render
from fer.errors import FerError
from fer.faces import crops, landmarks
from fer.layout import Layout
from fer.params import Alignment
from fer.stages.acquire import SCHEMA, row
from fer.stages.align import align
from fer.stages.split import split
from fer.storage import write_rows

PLAIN = Alignment(crop="distributed", size=48, channels=1, enlarge=[1], padding=0, missing="full_frame")


def make_raw(images, folder):
    layout = Layout(folder)
    originals = [Original(f"{n}.png", cv2.imencode(".png", image)[1].tobytes()) for n, image in enumerate(images)]
    write_rows(layout.raw("x"), SCHEMA, map(row, originals))
    return layout


def run(layout, parameters):
    align(layout.raw("x"), parameters, layout.faces("x"), layout.crops("x"))
    return pd.read_parquet(layout.faces("x")), np.load(layout.crops("x"))


def noise(count, side=48, channels=()):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, *channels), dtype=np.uint8)


def test_distributed_crops_are_the_images_themselves_in_their_order(tmp_path):
    images = noise(100)
    faces, array = run(make_raw(images, tmp_path), PLAIN)
    assert np.array_equal(array, images) and faces["sample"].tolist() == list(range(100))
    assert not faces["detected"].any() and faces["used"].all() and faces["landmarks"].isna().all()


def test_faces_are_detected_and_their_landmarks_are_in_pixels_of_the_original(tmp_path):
    renderings = [render("happiness", subject, 0) for subject in range(6)]
    faces, _ = run(make_raw([item.visible for item in renderings], tmp_path), PLAIN)
    assert faces["detected"].sum() >= 5
    for item, points in zip(renderings, faces["landmarks"], strict=True):
        if points is not None:
            assert np.linalg.norm(points.reshape(68, 2) - item.landmarks, axis=1).mean() < 0.1 * 72


@pytest.mark.parametrize(("enlarge", "padding"), [(1, 0.0), (2, 0.0), (1, 0.3), (3, 0.25)])
def test_enlarging_and_padding_do_not_move_the_landmarks(enlarge, padding):
    grey = cv2.cvtColor(render("neutral", 1, 0).visible, cv2.COLOR_BGR2GRAY)
    plain, other = landmarks.detect(grey), landmarks.detect(grey, enlarge, padding)
    assert np.linalg.norm(plain - other, axis=1).mean() < 4


def test_a_similarity_crop_puts_the_eye_centres_on_their_canonical_places():
    rendering = render("neutral", 2, 3)
    crop = crops.similarity(rendering.visible, rendering.landmarks, 96)
    right, left = rendering.landmarks[36:42].mean(0), rendering.landmarks[42:48].mean(0)
    wanted = np.array([crops.RIGHT_EYE_AT, crops.LEFT_EYE_AT]) * 96
    matrix = crops.similarity_matrix(np.stack([right, left]), wanted)
    placed = np.stack([right, left]) @ matrix[:, :2].T + matrix[:, 2]
    assert crop.shape == (96, 96, 3) and np.allclose(placed, wanted)
    assert np.allclose(matrix[:, :2] @ matrix[:, :2].T, np.linalg.det(matrix[:, :2]) * np.eye(2)), "no shear"


def test_tilted_faces_come_out_level(tmp_path):
    rendering = render("neutral", 2, 0)
    turned = [
        cv2.warpAffine(rendering.visible, cv2.getRotationMatrix2D((96, 96), angle, 1), (192, 192))
        for angle in (-15, 15)
    ]
    parameters = PLAIN.model_copy(update={"crop": "similarity", "size": 128})
    faces, array = run(make_raw(turned, tmp_path), parameters)
    assert faces["detected"].all()
    points = [landmarks.detect(crop, padding=0.3) for crop in array]
    for found in points:
        right, left = found[36:42].mean(0), found[42:48].mean(0)
        assert abs(np.degrees(np.arctan2(*(left - right)[::-1]))) < 3


def test_colour_crops_are_rgb(tmp_path):
    blue = np.zeros((48, 48, 3), np.uint8)
    blue[..., 0] = 200  # OpenCV's order is BGR
    _, array = run(make_raw([blue], tmp_path), PLAIN.model_copy(update={"channels": 3}))
    assert array.shape == (1, 48, 48, 3) and (array[0, 0, 0] == (0, 0, 200)).all()


def test_without_a_detection_a_sample_is_kept_dropped_or_refused_as_the_parameter_says(tmp_path):
    layout = make_raw(noise(3), tmp_path)
    assert run(layout, PLAIN)[0]["used"].all()
    faces, array = run(layout, PLAIN.model_copy(update={"missing": "drop"}))
    assert not faces["used"].any() and len(array) == 3, "rows stay in step with the index"
    with pytest.raises(FerError, match=r"no face detected in 0\.png; alignment\.missing may be"):
        run(layout, PLAIN.model_copy(update={"missing": "error"}))


def test_crops_are_resized_to_the_parameter(tmp_path):
    _, array = run(make_raw(noise(2, 100), tmp_path), PLAIN.model_copy(update={"size": 32}))
    assert array.shape == (2, 32, 32)


def test_aligning_twice_gives_the_same_files_to_the_bit(tmp_path):
    images = [render("fear", subject, 0, size=48).visible for subject in range(40)]
    parameters = params.load_dataset("fer2013").alignment
    files = []
    for name in "ab":
        layout = make_raw(images, tmp_path / name)
        run(layout, parameters)
        files.append((layout.faces("x").read_bytes(), layout.crops("x").read_bytes()))
    assert files[0] == files[1]


def test_the_landmark_model_is_found_without_importing_its_package():
    assert landmarks.model_path().stat().st_size > 90_000_000


@pytest.mark.parametrize("size", [48, 96])
def test_what_lay_at_the_eyes_lies_at_their_canonical_places_in_the_crop(size):
    points = np.zeros((68, 2), np.float32)
    points[landmarks.RIGHT_EYE], points[landmarks.LEFT_EYE] = (70, 90), (130, 60)  # tilted
    for eye, place in ((points[36], crops.RIGHT_EYE_AT), (points[42], crops.LEFT_EYE_AT)):
        image = np.zeros((200, 200), np.uint8)
        cv2.circle(image, tuple(map(int, eye)), 8, 255, -1)
        rows, columns = np.nonzero(crops.similarity(image, points, size) > 127)
        assert np.allclose((columns.mean(), rows.mean()), np.array(place) * size, atol=1)


def test_dropped_samples_are_in_no_part_of_the_split(tmp_path):
    images = [render("happiness", subject, 0).visible for subject in range(6)] + list(noise(6, 192, (3,)))
    layout = make_raw(images, tmp_path)
    faces, array = run(layout, PLAIN.model_copy(update={"missing": "drop"}))
    used = faces["used"].to_numpy()
    assert used[:6].sum() >= 5 and not used[6:].any() and len(array) == 12
    parts = ["train", "val", "test", "train", "train", "train"] * 2
    index = pd.DataFrame({"sample": np.arange(12, dtype=np.int32), "label": 0, "part": parts, "subject": None})
    layout.index("x").parent.mkdir(parents=True)
    index.to_parquet(layout.index("x"))
    line = split(layout.index("x"), layout.faces("x"), "official", layout.split("x", "official"))
    assert set(pd.read_parquet(layout.split("x", "official"))["sample"]) == set(np.flatnonzero(used))
    assert f"{(~used).sum()} samples without a face left out" in line


def test_crops_stay_in_order_when_chunks_take_different_times(tmp_path):
    sizes = [48] * 32 + [400] * 4 + [48] * 60  # the second chunk is slow
    images = [np.full((side, side), number, np.uint8) for number, side in enumerate(sizes)]
    faces, array = run(make_raw(images, tmp_path), PLAIN)
    assert array[:, 0, 0].tolist() == list(range(96)) and faces["blank"].all()
    assert faces["height"].tolist() == sizes and faces["width"].tolist() == sizes
