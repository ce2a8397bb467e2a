"""align keeps order and pixels, says what it found, and puts eyes where they belong."""

import io
import json
import math
import struct
import zlib

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer import params
from fer.datasets import Original, synthetic
from fer.datasets.synthetic import render
from fer.errors import FerError
from fer.faces import crops, fingerprint, landmarks
from fer.layout import Layout
from fer.params import Alignment
from fer.stages.acquire import SCHEMA, raw_row
from fer.stages.align import align
from fer.stages.index import SCHEMA as INDEX
from fer.stages.split import split
from fer.storage import write_rows

PLAIN = Alignment(crop="distributed", size=48, channels=1, enlarge=[1], padding=0, missing="full_frame")
FER2013 = params.load_dataset("fer2013")


def with_alignment(**changes):
    return FER2013.model_copy(update={"alignment": PLAIN.model_copy(update=changes)})


def make_raw(images, folder, **columns):
    """Write raw and index of `images` (arrays, or encoded bytes); `columns` are lists for the index."""
    layout = Layout(folder)
    data = [image if isinstance(image, bytes) else cv2.imencode(".png", image)[1].tobytes() for image in images]
    originals = [Original(f"{n}.png", image) for n, image in enumerate(data)]
    write_rows(layout.raw("x"), SCHEMA, map(raw_row, originals))
    default = {"label": 0, "modality": "visible"}
    write_rows(
        layout.index("x"),
        INDEX,
        (
            {"sample": n, "path": f"{n}.png", **default, **{name: values[n] for name, values in columns.items()}}
            for n in range(len(images))
        ),
    )
    return layout


def run(layout, parameters, workers=False):
    outputs = (layout.faces("x"), layout.crops("x"), layout.faces_counts("x"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fer.parallel.ALONE", 0 if workers else math.inf)  # processes take seconds to start
        align(layout.raw("x"), layout.index("x"), parameters, *outputs)
    return pd.read_parquet(layout.faces("x")), np.load(layout.crops("x"))


def counts(layout):
    return json.loads(layout.faces_counts("x").read_text())["modalities"]


def noise(count, side=48, channels=()):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, *channels), dtype=np.uint8)


def grey_face(expression="neutral", subject=1, take=0):
    return cv2.cvtColor(render(expression, subject, take).visible, cv2.COLOR_BGR2GRAY)


def encoded(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


# --- crops ----------------------------------------------------------------------------------------------------------


def test_distributed_crops_are_the_images_themselves_in_their_order(tmp_path):
    images = noise(100)
    faces, array = run(make_raw(images, tmp_path), with_alignment())
    assert np.array_equal(array, images) and faces["sample"].tolist() == list(range(100))
    assert not faces["detected"].any() and faces["used"].all() and faces["landmarks"].isna().all()
    assert faces["landmarks_from"].isna().all() and faces["score"].isna().all()


def test_crops_stay_in_order_when_chunks_take_different_times(tmp_path):
    sizes = [48] * 32 + [400] * 4 + [48] * 60  # the second chunk is slow
    images = [np.full((side, side), number, np.uint8) for number, side in enumerate(sizes)]
    faces, array = run(make_raw(images, tmp_path), with_alignment(), workers=True)
    assert array[:, 0, 0].tolist() == list(range(96)) and faces["blank"].all()
    assert faces["height"].tolist() == sizes and faces["width"].tolist() == sizes


def test_crops_are_resized_to_the_parameter(tmp_path):
    _, array = run(make_raw(noise(2, 100), tmp_path), with_alignment(size=32))
    assert array.shape == (2, 32, 32)


def test_colour_crops_are_rgb(tmp_path):
    blue = np.zeros((48, 48, 3), np.uint8)
    blue[..., 0] = 200  # OpenCV's order is BGR
    _, array = run(make_raw([blue, blue[..., 0]], tmp_path), with_alignment(channels=3))
    assert array.shape == (2, 48, 48, 3)
    assert (array[0, 0, 0] == (0, 0, 200)).all() and (array[1, 0, 0] == 200).all(), "grey becomes colour too"


def test_a_similarity_crop_puts_the_eye_centres_on_their_canonical_places():
    rendering = render("neutral", 2, 3)
    crop = crops.similarity(rendering.visible, rendering.landmarks, 96)
    right, left = rendering.landmarks[36:42].mean(0), rendering.landmarks[42:48].mean(0)
    wanted = np.array([crops.RIGHT_EYE_AT, crops.LEFT_EYE_AT]) * 96 - 0.5
    matrix = crops.similarity_matrix(np.stack([right, left]), wanted)
    placed = np.stack([right, left]) @ matrix[:, :2].T + matrix[:, 2]
    assert crop.shape == (96, 96, 3) and np.allclose(placed, wanted)
    assert np.allclose(matrix[:, :2] @ matrix[:, :2].T, np.linalg.det(matrix[:, :2]) * np.eye(2)), "no shear"


@pytest.mark.parametrize("size", [24, 48, 96])
def test_what_lay_at_the_eyes_lies_at_their_canonical_places_in_the_crop(size):
    points = np.zeros((68, 2), np.float32)
    points[landmarks.RIGHT_EYE], points[landmarks.LEFT_EYE] = (70, 90), (130, 60)  # tilted
    for eye, place in ((points[36], crops.RIGHT_EYE_AT), (points[42], crops.LEFT_EYE_AT)):
        image = np.zeros((200, 200), np.uint8)
        cv2.circle(image, tuple(map(int, eye)), 8, 255, -1)
        rows, columns = np.nonzero(crops.similarity(image, points, size) > 127)
        assert np.allclose((columns.mean(), rows.mean()), np.array(place) * size - 0.5, atol=0.5)


@pytest.mark.parametrize("size", [48, 97, 300])
def test_a_mirrored_image_gives_the_mirrored_crop(size):
    rendering = render("sadness", 4, 1)
    mirrored = np.ascontiguousarray(rendering.visible[:, ::-1])
    points = rendering.landmarks[landmarks.MIRROR] * (-1, 1) + (mirrored.shape[1] - 1, 0)
    crop = crops.similarity(rendering.visible, rendering.landmarks, size)
    other = crops.similarity(mirrored, points, size)
    assert np.abs(crop.astype(int) - other[:, ::-1]).max() <= 2, "a place is rounded to 1/32 of a pixel"


def test_tilted_faces_come_out_level(tmp_path):
    rendering = render("neutral", 2, 0)
    turned = [
        cv2.warpAffine(rendering.visible, cv2.getRotationMatrix2D((96, 96), angle, 1), (192, 192))
        for angle in (-15, 15)
    ]
    faces, array = run(make_raw(turned, tmp_path), with_alignment(crop="similarity", size=128))
    assert faces["detected"].all()
    points = [landmarks.find(crop, padding=0.3).landmarks for crop in array]
    for found in points:
        right, left = found[36:42].mean(0), found[42:48].mean(0)
        assert abs(np.degrees(np.arctan2(*(left - right)[::-1]))) < 3


def test_a_similarity_crop_of_a_large_image_does_not_alias():
    stripes = np.zeros((490, 640), np.uint8)
    stripes[:, ::2] = 255  # finer than a crop of 96 can hold: a plain warp turns them into broad bands
    points = np.zeros((68, 2), np.float32)
    points[landmarks.RIGHT_EYE], points[landmarks.LEFT_EYE] = (260, 215), (383, 228)
    crop = crops.similarity(stripes, points, 96)
    assert abs(crop.mean() - 127.5) < 4 and crop.std() < 16


# --- decoding -------------------------------------------------------------------------------------------------------


def test_transparent_pixels_show_the_stated_background():
    image = np.full((4, 4, 4), 200, np.uint8)
    image[..., 3] = (0, 85, 170, 255)  # a column each
    crop = crops.decode(cv2.imencode(".png", image)[1].tobytes(), 3, "x")
    wanted = [round(200 * share + crops.BACKGROUND * (1 - share)) for share in (0, 1 / 3, 2 / 3, 1)]
    assert crop.shape == (4, 4, 3) and (crop == np.array(wanted)[None, :, None]).all()
    assert crops.decode(cv2.imencode(".png", image)[1].tobytes(), 1, "x")[0].tolist() == wanted


def test_16_bit_infrared_is_stretched_over_its_own_range():
    ramp = np.linspace(7000, 7400, 64 * 64).reshape(64, 64).astype(np.uint16)
    ramp[0, 0] = 65535  # a dead pixel takes nothing of the range
    grey = crops.decode(cv2.imencode(".png", ramp)[1].tobytes(), 1, "x")
    assert grey.dtype == np.uint8 and grey[0, 1] == 0 and grey[-1, -1] == 255
    assert np.isin(np.arange(256), grey).mean() > 0.95 and abs(int(grey[32, 0]) - 127) < 3


def test_16_bit_images_are_blank_only_where_they_are_constant(tmp_path):
    faint = np.full((48, 48), 7000, np.uint16)
    faint[20:30] += 20
    faces, array = run(make_raw([np.full((48, 48), 7000, np.uint16), faint], tmp_path), with_alignment())
    assert faces["blank"].tolist() == [True, False] and array[0].max() == 0 and set(array[1].ravel()) == {0, 255}


def test_16_bit_colour_is_scaled_and_not_stretched():
    image = np.full((4, 4, 3), 257 * 100, np.uint16)
    image[0, 0] = 257 * 120
    assert set(crops.decode(cv2.imencode(".png", image)[1].tobytes(), 1, "x").ravel()) == {100, 120}


def test_palettes_and_cmyk_become_rgb():
    orange = Image.new("RGB", (8, 8), (250, 120, 10))
    for data in (encoded(orange.quantize(4), "PNG"), encoded(orange.convert("CMYK"), "JPEG", quality=100)):
        assert np.abs(crops.decode(data, 3, "x").astype(int) - (250, 120, 10)).max() < 6


def test_photographs_are_turned_upright_as_their_exif_says():
    upright = grey_face()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    data = encoded(Image.fromarray(np.rot90(upright)), "JPEG", quality=95, exif=exif)
    turned = crops.decode(data, 1, "x")
    assert np.abs(turned.astype(int) - upright).mean() < 3 and crops.decode(data, 3, "x").shape == (192, 192, 3)


def test_numbers_that_are_no_pixels_are_refused_by_name():
    data = cv2.imencode(".tiff", np.zeros((8, 8), np.float32))[1].tobytes()
    with pytest.raises(FerError, match=r"a\.tiff holds float32 numbers; expected 8 or 16 bits"):
        crops.decode(data, 1, "a.tiff")


# --- landmarks ------------------------------------------------------------------------------------------------------


def test_the_models_are_found_without_importing_their_package():
    assert landmarks.model_path().stat().st_size > 90_000_000
    assert landmarks.model_path(landmarks.CNN_FILE).stat().st_size > 700_000


def test_faces_are_detected_and_their_landmarks_are_in_pixels_of_the_original(tmp_path):
    renderings = [render("happiness", subject, 0) for subject in range(6)]
    faces, _ = run(make_raw([item.visible for item in renderings], tmp_path), with_alignment())
    assert faces["detected"].sum() >= 5 and set(faces["landmarks_from"].dropna()) == {"own"}
    for item, points in zip(renderings, faces["landmarks"], strict=True):
        if points is not None:
            assert np.linalg.norm(points.reshape(68, 2) - item.landmarks, axis=1).mean() < 0.1 * 72


@pytest.mark.parametrize(("enlarge", "padding"), [(1, 0.0), (2, 0.0), (1, 0.3), (3, 0.25), (0.6, 0.1), ([0.1, 1.5], 0)])
def test_enlarging_shrinking_and_padding_do_not_move_the_landmarks(enlarge, padding):
    grey = grey_face()
    plain, other = (landmarks.find(grey, *options).landmarks for options in ((), (enlarge, padding)))
    assert np.linalg.norm(plain - other, axis=1).mean() < 4


def test_factors_are_tried_in_order_until_a_face_is_found(monkeypatch):
    tried = []
    original = landmarks.prepare
    monkeypatch.setattr(landmarks, "prepare", lambda *args: tried.append(args[1]) or original(*args))
    small = cv2.resize(grey_face(), (40, 40), interpolation=cv2.INTER_AREA)
    assert landmarks.find(small, [1, 3, 5], 0.25) is not None and tried == [1, 3]


def test_dlibs_cnn_detector_agrees_with_the_other():
    grey = grey_face("happiness", 5)
    by_hog, by_cnn = landmarks.find(grey), landmarks.find(grey, kind="cnn")
    assert by_cnn.score >= 0 and np.linalg.norm(by_hog.landmarks - by_cnn.landmarks, axis=1).mean() < 6


def test_mirrored_landmarks_are_those_of_the_synthetic_face():
    assert np.array_equal(landmarks.MIRROR, synthetic.MIRROR)
    assert np.array_equal(landmarks.MIRROR[landmarks.MIRROR], np.arange(68))


def weakened(monkeypatch, by):
    """Make the detector's scores lower by `by`."""
    detector = landmarks.detector("hog")
    fading = lambda image: [(score - by, box) for score, box in detector(image)]  # noqa: E731
    monkeypatch.setattr(landmarks, "detector", lambda kind: fading)


def test_a_weak_detection_counts_when_the_mirrored_image_gives_the_same_landmarks(monkeypatch):
    grey = grey_face("happiness", 3)
    sure = landmarks.find(grey)
    weakened(monkeypatch, sure.score + 0.1)
    weak = landmarks.find(grey)
    assert -0.2 <= weak.score < 0 and np.array_equal(weak.landmarks, sure.landmarks)
    monkeypatch.setattr(landmarks, "UNSTEADY", 1e-4)
    assert landmarks.find(grey) is None


def test_a_weak_detection_with_eyes_or_mouth_outside_the_image_does_not_count(monkeypatch):
    grey = grey_face("happiness", 3)
    sure = landmarks.find(grey)
    weakened(monkeypatch, sure.score + 0.1)
    monkeypatch.setattr(landmarks, "rescaled", lambda points, size, other: points + (100, 0))
    assert landmarks.find(grey) is None


def test_one_pixel_is_an_image_without_a_face(tmp_path):
    faces, array = run(make_raw([np.zeros((1, 1), np.uint8)], tmp_path), FER2013)
    assert not faces["detected"].any() and array.shape == (1, 48, 48)


# --- several faces ---------------------------------------------------------------------------------------------------


def photograph():
    """Return a grey photograph of a person, large and left of the middle, and a bystander, small and at the right."""
    scene = np.full((260, 400), 128, np.uint8)
    scene[20:212, 10:202] = grey_face("happiness", 3)
    scene[100:228, 260:388] = cv2.resize(grey_face("happiness", 5), (128, 128), interpolation=cv2.INTER_AREA)
    return scene


def rescored(monkeypatch, score):
    """Let `score(box, own score, image)` decide what the detector says of a face."""
    detector = landmarks.detector("hog")
    found = lambda image: [(score(box, own, image), box) for own, box in detector(image)]  # noqa: E731
    monkeypatch.setattr(landmarks, "detector", lambda kind: found)


def at_the_right(box, image):
    return box.center().x > 0.6 * image.shape[1]


@pytest.mark.parametrize("enlarge", [[1], [2], [1, 2]])
def test_the_large_face_is_taken_even_where_a_bystander_has_the_better_score(enlarge, monkeypatch):
    rescored(monkeypatch, lambda box, own, image: 3.0 if at_the_right(box, image) else 0.8)
    face = landmarks.find(photograph(), enlarge)
    assert face.faces == 2 and face.score == 0.8
    assert face.landmarks[:, 0].min() > 10 and face.landmarks[:, 0].max() < 202


def test_a_large_face_that_is_not_clear_does_not_take_the_place_of_a_clear_one(monkeypatch):
    rescored(monkeypatch, lambda box, own, image: 1.0 if at_the_right(box, image) else 0.3)
    face = landmarks.find(photograph())
    assert face.faces == 2 and face.landmarks[:, 0].min() > 250


def test_of_faces_of_one_size_the_most_central_is_taken(monkeypatch):
    rescored(monkeypatch, lambda box, own, image: 2.0 if at_the_right(box, image) else 1.0)
    scene = np.full((240, 600), 128, np.uint8)
    for left in (0, 204, 408):
        scene[24:216, left : left + 192] = grey_face("happiness", 3)
    face = landmarks.find(scene)
    assert face.faces == 3 and 204 < face.landmarks[:, 0].mean() < 396


def test_a_weak_face_is_not_taken_where_another_enlargement_shows_a_clear_one(monkeypatch):
    scene = photograph()
    rescored(monkeypatch, lambda box, own, image: 0.3 if at_the_right(box, image) else -0.1)
    assert landmarks.find(scene, [1]).landmarks[:, 0].min() > 250
    rescored(monkeypatch, lambda box, own, image: 1.2 if len(image) > len(scene) else own)
    face = landmarks.find(scene, [1, 2])
    assert face.score >= landmarks.CLEAR and face.landmarks[:, 0].max() < 202


def test_where_no_face_is_clear_the_best_of_all_enlargements_is_taken(monkeypatch):
    scores = {260: 0.2, 520: 0.4, 390: 0.1}
    rescored(monkeypatch, lambda box, own, image: scores[len(image)])
    assert landmarks.find(photograph(), [1, 2, 1.5]).score == 0.4


def test_images_with_several_faces_are_counted_per_class(tmp_path):
    images = [photograph(), grey_face(), photograph(), np.zeros((48, 48), np.uint8)]
    layout = make_raw(images, tmp_path, label=[2, 2, 5, 5])
    faces, _ = run(layout, with_alignment())
    assert faces["faces"].tolist() == [2, 1, 2, 0] and faces["faces"].dtype == np.int32
    assert counts(layout)["visible"]["several"] == [0, 0, 1, 0, 0, 1, 0]
    line = align(layout.raw("x"), layout.index("x"), with_alignment(), *(tmp_path / name for name in "abc"))
    assert "2 images with several faces" in line


# --- pairs ----------------------------------------------------------------------------------------------------------


def pairs(renderings, infrared=lambda image: image):
    """Return images and index columns of visible images followed by their infrared partners."""
    names = [f"p{number}" for number in range(len(renderings))]
    images = [item.visible for item in renderings] + [infrared(item.infrared) for item in renderings]
    return images, {"modality": ["visible"] * len(names) + ["infrared"] * len(names), "pair": names * 2}


def test_infrared_takes_the_landmarks_of_its_visible_partner(tmp_path):
    images, columns = pairs([render("happiness", subject, 0) for subject in range(4)])
    faces, array = run(make_raw(images, tmp_path, **columns), with_alignment(crop="similarity", size=64))
    visible, infrared = faces[:4], faces[4:]
    assert visible["detected"].tolist() == infrared["detected"].tolist() and visible["detected"].sum() >= 3
    for own, taken in zip(visible.itertuples(), infrared.itertuples(), strict=True):
        if own.detected:
            assert own.landmarks_from == "own" and taken.landmarks_from == "partner" and np.isnan(taken.score)
            assert np.allclose(own.landmarks, taken.landmarks)
            wanted = crops.similarity(images[taken.sample], taken.landmarks.reshape(68, 2), 64)
            assert np.array_equal(array[taken.sample], wanted)


def test_the_partners_landmarks_are_scaled_to_a_smaller_infrared_image(tmp_path):
    images, columns = pairs([render("happiness", 1, 0)], lambda image: cv2.resize(image, (96, 96)))
    faces, _ = run(make_raw(images, tmp_path, **columns), with_alignment())
    own, taken = (np.array(points) for points in faces["landmarks"])
    assert np.allclose((own + 0.5) / 2 - 0.5, taken, atol=1e-4) and faces["height"].tolist() == [192, 96]


def test_a_pair_of_different_aspect_is_not_in_register(tmp_path):
    images, columns = pairs([render("happiness", 1, 0)], lambda image: image[:96])
    faces, _ = run(make_raw(images, tmp_path, **columns), with_alignment())
    assert faces["landmarks_from"].tolist()[0] == "own" and faces["landmarks_from"].tolist()[1] != "partner"


def test_infrared_without_a_detected_partner_is_looked_at_itself(tmp_path):
    face, blank = render("happiness", 1, 0).visible, np.zeros((192, 192), np.uint8)
    columns = {"modality": ["visible", "infrared", "infrared"], "pair": ["a", "a", None]}
    faces, _ = run(make_raw([blank, face, face], tmp_path, **columns), with_alignment())
    assert faces["detected"].tolist() == [False, True, True]
    assert faces["landmarks_from"].fillna("none").tolist() == ["none", "own", "own"]


def test_a_pair_with_two_visible_images_is_refused(tmp_path):
    columns = {"modality": ["visible", "visible", "infrared"], "pair": ["a"] * 3}
    with pytest.raises(FerError, match="pair a has more than one visible image"):
        run(make_raw(noise(3), tmp_path, **columns), with_alignment())


# --- what is missing ------------------------------------------------------------------------------------------------


def test_without_a_detection_a_sample_is_kept_dropped_or_refused_as_the_parameter_says(tmp_path):
    layout = make_raw(noise(3), tmp_path)
    assert run(layout, with_alignment())[0]["used"].all()
    faces, array = run(layout, with_alignment(missing="drop"))
    assert not faces["used"].any() and len(array) == 3, "rows stay in step with the index"
    with pytest.raises(FerError, match=r"no face detected in 0\.png; alignment\.missing may be"):
        run(layout, with_alignment(missing="error"), workers=True)


def test_dropped_samples_are_in_no_part_of_the_split(tmp_path):
    images = [render("happiness", subject, 0).visible for subject in range(6)] + list(noise(6, 192, (3,)))
    layout = make_raw(images, tmp_path, part=["train", "val", "test", "train", "train", "train"] * 2)
    parameters = with_alignment(missing="drop").model_copy(update={"allow_empty_classes": True})
    faces, array = run(layout, parameters)
    used = faces["used"].to_numpy()
    assert used[:6].sum() >= 5 and not used[6:].any() and len(array) == 12
    inputs = [make("x") for make in (layout.raw, layout.index, layout.faces, layout.crops)]
    made = [make("x", "official") for make in (layout.split, layout.audit, layout.audit_page, layout.refused_page)]
    target = made[0]
    line = split(*inputs, parameters, "official", 0, *made)
    assert set(pd.read_parquet(target)["sample"]) == set(np.flatnonzero(used))
    assert f"{(~used).sum()} samples without a face left out" in line


def test_detections_are_counted_per_class_and_modality(tmp_path):
    face, blank = render("happiness", 1, 0).visible, np.zeros((192, 192), np.uint8)
    columns = {
        "label": [0, 3, 3, 6, 6],
        "modality": ["visible", "visible", "visible", "infrared", "visible"],
        "pair": [None, None, None, "a", "a"],
    }
    layout = make_raw([face, face, blank, blank, face], tmp_path, **columns)
    run(layout, with_alignment(missing="drop"))
    found = {"samples": [1, 0, 0, 2, 0, 0, 1], "detected": [1, 0, 0, 1, 0, 0, 1], "blank": [0, 0, 0, 1, 0, 0, 0]}
    found["several"] = [0] * 7
    assert counts(layout)["visible"] == found | {"used": found["detected"]}
    last = [0] * 6 + [1]
    assert counts(layout)["infrared"] == {
        "samples": last,
        "detected": last,
        "used": last,
        "blank": last,
        "several": [0] * 7,
    }
    assert json.loads(layout.faces_counts("x").read_text())["classes"] == FER2013.classes


def test_an_index_of_other_originals_is_refused(tmp_path):
    layout, other = make_raw(noise(3), tmp_path / "a"), make_raw(noise(4), tmp_path / "b")
    for raw, index in ((layout, other), (other, layout)):
        with pytest.raises(FerError, match="Run index again"):
            align(raw.raw("x"), index.index("x"), with_alignment(), *(tmp_path / name for name in "abc"))


# --- fingerprints ---------------------------------------------------------------------------------------------------


def differing(one, other):
    return (int(one) ^ int(other)).bit_count()


def test_equal_pixels_have_equal_fingerprints_whatever_holds_them(tmp_path):
    grey = grey_face()
    colour = render("neutral", 1, 0).visible
    images = [
        *(cv2.imencode(ending, grey)[1].tobytes() for ending in (".png", ".bmp", ".tiff")),
        cv2.imencode(".png", cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))[1].tobytes(),
        *(cv2.imencode(ending, colour)[1].tobytes() for ending in (".png", ".bmp")),
        cv2.imencode(".png", grey[:, :-1])[1].tobytes(),
        cv2.imencode(".png", grey.astype(np.uint16))[1].tobytes(),
    ]
    faces, _ = run(make_raw(images, tmp_path), with_alignment())
    groups = faces.groupby("pixels")["sample"].agg(list).tolist()
    assert sorted(groups) == [[0, 1, 2, 3], [4, 5], [6], [7]]
    assert faces["phash"].dtype == np.uint64 and faces["phash"][:4].nunique() == 1


def test_a_recompressed_resized_or_brightened_copy_has_a_near_perceptual_hash():
    grey = grey_face("happiness", 3)
    own = fingerprint.perceptual_hash(grey)
    poor = cv2.imdecode(cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 0)
    for copy in (poor, cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA), (grey * 0.8 + 10).astype(np.uint8)):
        assert differing(own, fingerprint.perceptual_hash(copy)) <= 6
    assert differing(own, fingerprint.perceptual_hash(grey_face("surprise", 9))) > 10


def test_the_perceptual_hash_of_half_its_frequencies_is_set_and_a_blank_image_has_none():
    assert fingerprint.perceptual_hash(noise(1)[0]).bit_count() == 32
    assert fingerprint.perceptual_hash(np.full((48, 48), 90, np.uint8)) == 0


# --- the whole ------------------------------------------------------------------------------------------------------


def test_aligning_twice_gives_the_same_files_to_the_bit(tmp_path):
    renderings = [render("fear", subject, 0, size=48) for subject in range(30)]
    files = []
    for name in "ab":
        images, columns = pairs(renderings)
        layout = make_raw(images, tmp_path / name, **columns)
        run(layout, FER2013, workers=True)
        files.append([path.read_bytes() for path in (layout.faces("x"), layout.crops("x"), layout.faces_counts("x"))])
    assert files[0] == files[1]


def test_a_small_file_that_claims_to_be_an_enormous_image_is_refused_by_name():
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", 65535, 65535, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + ihdr + struct.pack(">I", zlib.crc32(ihdr))
    with pytest.raises(FerError, match=r"bomb\.png cannot be decoded"):
        crops.decode(png, 1, "bomb.png")
