"""blocks cuts level eyes and mouth blocks around their landmarks, says where, and shows samples."""

import math

import cv2
import numpy as np
import pandas as pd
import pytest
from test_align import FER2013, make_raw, pairs, with_alignment
from test_align import run as run_align

from fer.datasets.synthetic import render
from fer.faces import blocks as faces_blocks
from fer.faces.blocks import Box, boxes, canonical_boxes, corners, cut
from fer.reporting import sheets
from fer.stages.blocks import blocks

MARGIN = 0.3


def run(layout, parameters, synthetic=False, workers=False):
    """Run align and blocks; return the boxes, the eyes blocks, the mouth blocks and the line."""
    run_align(layout, parameters)
    inputs = (layout.raw("x"), layout.faces("x"), layout.index("x"), layout.crops("x"))
    outputs = (layout.blocks("x"), layout.eyes("x"), layout.mouth("x"), layout.figure("x", "faces"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fer.parallel.ALONE", 0 if workers else math.inf)
        line = blocks(*inputs, parameters, *outputs, synthetic=synthetic)
    return pd.read_parquet(layout.blocks("x")), np.load(layout.eyes("x")), np.load(layout.mouth("x")), line


def turned(rendering, angle):
    """Return image and landmarks of a rendering turned clockwise about its middle."""
    size = rendering.visible.shape[0]
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), -angle, 1)
    image = cv2.warpAffine(rendering.visible, matrix, (size, size))
    return image, rendering.landmarks @ matrix[:, :2].T + matrix[:, 2]


def level(points, box, angle):
    """Return points in fractions of the turned box."""
    turn = faces_blocks.rotation(angle)
    return (points - box.centre) @ turn / (box.width, box.height) + 0.5


@pytest.mark.parametrize("angle", [-40, -15, 0, 15, 40])
def test_blocks_of_tilted_faces_contain_their_landmarks_with_the_margin_all_round(angle):
    _, points = turned(render("happiness", 2, 1), angle)
    distance = np.linalg.norm(points[36:42].mean(0) - points[42:48].mean(0))
    found = boxes(points, MARGIN)
    for box, part in ((found.eyes, faces_blocks.EYES), (found.mouth, faces_blocks.MOUTH)):
        inside = level(points[part], box, found.angle) * (box.width, box.height)
        assert np.allclose(inside.min(0), MARGIN * distance)
        assert np.allclose((box.width, box.height) - inside.max(0), MARGIN * distance)
    eyes = level(np.stack([points[36:42].mean(0), points[42:48].mean(0)]), found.eyes, found.angle)
    assert eyes[0, 1] == pytest.approx(eyes[1, 1]) and eyes[0, 0] < eyes[1, 0], "level, and not upside down"


@pytest.mark.parametrize("angle", [-30, 30])
def test_blocks_of_a_tilted_face_show_what_those_of_the_level_face_show(angle):
    rendering = render("happiness", 2, 1)
    image, points = turned(rendering, angle)
    plain, tilted = boxes(rendering.landmarks, MARGIN), boxes(points, MARGIN)
    assert tilted.angle == pytest.approx(plain.angle + angle, abs=1e-3)
    for part in ("eyes", "mouth"):
        wanted = cut(rendering.visible, getattr(plain, part), plain.angle, 32)
        found = cut(image, getattr(tilted, part), tilted.angle, 32)
        assert np.abs(wanted.astype(int) - found).mean() < 4


def test_a_block_holds_exactly_the_pixels_of_its_box():
    image = np.arange(60 * 60, dtype=np.int64).reshape(60, 60) % 251
    image = image.astype(np.uint8)
    box = Box(x=9.5, y=19.5, width=32, height=32)  # from the left edge of pixel 10 to the right edge of pixel 41
    assert np.array_equal(cut(image, box, 0.0, 32), image[20:52, 10:42])
    quarter = cut(image, box, 90.0, 32)
    assert np.array_equal(quarter, np.rot90(image[20:52, 10:42])), "its right end is down: it comes back up"


def test_blocks_are_squeezed_to_squares_without_aliasing():
    stripes = np.zeros((100, 200), np.uint8)
    stripes[:, ::2] = 255
    block = cut(stripes, Box(9.5, 9.5, 128, 20), 0.0, 32)
    assert block.shape == (32, 32) and block.std() < 2 and abs(block.mean() - 127.5) < 2


def test_where_a_box_leaves_the_image_its_border_is_replicated():
    image = np.full((40, 40), 90, np.uint8)
    image[:, 0] = 200
    block = cut(image, Box(-16.5, 3.5, 32, 32), 0.0, 32)
    assert (block[:, :17] == 200).all() and (block[:, 17:] == 90).all()


def test_a_face_cut_by_the_frame_still_has_both_blocks(tmp_path):
    rendering = render("happiness", 2, 1)
    top, bottom = rendering.visible[45:], rendering.visible[:150]  # brows, then chin and lower lip at the edge
    table, eyes, mouth, _ = run(make_raw([top, bottom], tmp_path), with_alignment(padding=0.3))
    assert table["source"].tolist() == ["landmarks", "landmarks"]
    for shift, row in ((45, table.iloc[0]), (0, table.iloc[1])):
        points = rendering.landmarks - (0, shift)
        for part, members in (("eyes", faces_blocks.EYES), ("mouth", faces_blocks.MOUTH)):
            box = Box(*(row[f"{part}_{side}"] for side in ("x", "y", "width", "height")))
            inside = level(points[members], box, row["angle"])
            assert (inside > -0.05).all() and (inside < 1.05).all()
    assert eyes.std((1, 2)).min() > 5 and mouth.std((1, 2)).min() > 5


def test_without_a_detection_the_boxes_are_those_of_the_full_frame_and_say_so(tmp_path):
    images = [render("happiness", 2, 1).visible, np.tile(np.arange(100, dtype=np.uint8), (200, 1))]
    table, eyes, mouth, line = run(make_raw(images, tmp_path), with_alignment())
    assert table["source"].tolist() == ["landmarks", "canonical"] and "1 image at canonical places" in line
    row, wanted = table.iloc[1], canonical_boxes(200, 100, MARGIN)
    assert row["angle"] == 0 and row["eyes_x"] == pytest.approx(wanted.eyes.x)
    assert row["mouth_y"] == pytest.approx(wanted.mouth.y) and row["mouth_height"] == pytest.approx(wanted.mouth.height)
    assert np.array_equal(eyes[1], cut(images[1], wanted.eyes, 0.0, 32)) and len(mouth) == 2


def test_canonical_boxes_contain_eyes_and_mouth_of_a_face_that_fills_the_frame():
    for subject in range(8):
        rendering = render("neutral", subject, 0)
        left, top = rendering.landmarks.min(0) - (4, 12)
        right, bottom = rendering.landmarks.max(0) + (4, 0)
        found = canonical_boxes(round(bottom - top), round(right - left), MARGIN)
        for box, part in ((found.eyes, faces_blocks.EYES), (found.mouth, faces_blocks.MOUTH)):
            inside = level(rendering.landmarks[part] - (left, top), box, 0.0)
            assert ((inside > 0) & (inside < 1)).mean() > 0.8


def test_boxes_are_in_pixels_of_the_original_and_turn_about_their_centres():
    _, points = turned(render("neutral", 3, 0), 20)
    found = boxes(points, 0.0)
    outline = corners(found.eyes, found.angle)
    assert np.allclose(outline.mean(0), found.eyes.centre)
    assert cv2.pointPolygonTest(outline.astype(np.float32), tuple(map(float, points[39])), False) == 1
    assert np.allclose(np.linalg.norm(outline[1] - outline[0]), found.eyes.width)
    assert np.degrees(np.arctan2(*(outline[1] - outline[0])[::-1])) == pytest.approx(found.angle)


def test_blocks_are_in_the_order_of_the_index_in_size_and_channels_of_the_parameters(tmp_path):
    images = [np.full((48, 48, 3), (number, 0, 0), np.uint8) for number in range(70)]
    parameters = with_alignment(channels=3).model_copy(
        update={"blocks": FER2013.blocks.model_copy(update={"size": 20})}
    )
    table, eyes, mouth, _ = run(make_raw(images, tmp_path), parameters, workers=True)
    assert eyes.shape == mouth.shape == (70, 20, 20, 3) and eyes.dtype == np.uint8
    assert eyes[:, 0, 0, 2].tolist() == list(range(70)) and table["sample"].tolist() == list(range(70)), "RGB"


def test_infrared_blocks_lie_where_those_of_the_visible_partner_lie(tmp_path):
    images, columns = pairs([render("happiness", 1, 0)], lambda image: cv2.resize(image, (96, 96)))
    table, *_ = run(make_raw(images, tmp_path, **columns), with_alignment())
    visible, infrared = table.iloc[0], table.iloc[1]
    assert infrared["eyes_width"] == pytest.approx(visible["eyes_width"] / 2, rel=1e-3)
    assert infrared["angle"] == pytest.approx(visible["angle"], abs=1e-2)


# --- the sheet ------------------------------------------------------------------------------------------------------


def chosen(tmp_path, labels, detected, pair=None):
    samples = np.arange(len(labels))
    frame = pd.DataFrame({"sample": samples, "label": labels, "modality": "visible", "pair": pair})
    frame.to_parquet(tmp_path / "index")
    pd.DataFrame({"sample": samples, "detected": detected}).to_parquet(tmp_path / "faces")
    return sheets.choose(tmp_path / "faces", tmp_path / "index")


def test_a_sheet_shows_every_class_and_the_failures(tmp_path):
    labels = np.repeat(np.arange(7), [500, 300, 1, 20, 20, 20, 20])
    choice = chosen(tmp_path, labels, np.arange(len(labels)) % 7 > 0)
    assert len(choice.found) == 10 and set(choice.found["label"]) == set(labels)
    assert len(choice.missed) == 10 and choice.missing == sum(np.arange(len(labels)) % 7 == 0)
    assert choice.found["label"].is_monotonic_increasing


def test_a_sheet_of_pairs_shows_both_images_of_each(tmp_path):
    pair = [f"p{number % 40}" for number in range(80)]
    choice = chosen(tmp_path, [number % 40 % 5 for number in range(80)], [number != 3 for number in range(80)], pair)
    shown = choice.found["pair"].tolist()
    assert len(shown) == 10 and shown[::2] == shown[1::2] and set(choice.found["label"]) == set(range(5))


def test_a_sheet_says_as_distributed_where_nothing_was_aligned(tmp_path, monkeypatch):
    labels = []
    monkeypatch.setattr(sheets, "show", lambda axes, image: labels.append(axes.figure.axes[10]))
    for crop, wanted in (("distributed", "as distributed"), ("similarity", "aligned")):
        run(make_raw([render("happiness", 2, 1).visible], tmp_path / crop), with_alignment(crop=crop))
        assert labels[-1].get_ylabel() == wanted


@pytest.mark.parametrize("found", [True, False])
def test_a_sheet_is_drawn_where_all_or_no_faces_are_found(found, tmp_path):
    images = [render("happiness", 2, 1).visible] if found else [np.zeros((48, 48), np.uint8)]
    layout = make_raw(images, tmp_path)
    run(layout, with_alignment())
    assert cv2.imread(str(layout.figure("x", "faces"))).shape[1] > 1000


def test_blocks_twice_are_the_same_files_to_the_bit(tmp_path):
    images, columns = pairs([render("fear", subject, 0) for subject in range(4)])
    files = []
    for name in "ab":
        layout = make_raw(images, tmp_path / name, **columns)
        run(layout, with_alignment(channels=3), synthetic=True, workers=True)
        outputs = (layout.blocks("x"), layout.eyes("x"), layout.mouth("x"), layout.figure("x", "faces"))
        files.append([path.read_bytes() for path in outputs])
    assert files[0] == files[1]
