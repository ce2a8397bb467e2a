"""Using what was trained: from Python, and by `fer predict`. Faces are drawn, networks untrained: mechanics count."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import fer
from fer import params, systems
from fer.datasets import synthetic
from fer.errors import FerError
from fer.recognition.media import Frame
from fer.recognition.predict import Options
from fer.recognition.predict import predict as run_predict
from fer.recognition.recognizer import Face
from fer.recognition.tracking import Tracker

SIDE = 192


def run_folder(folder, dataset="fer2013", system="dnn", **changes):
    """Write what training would leave, with random weights."""
    data, parameters = params.load_dataset(dataset), params.load_system(system)
    torch.manual_seed(0)
    network = systems.build(system, parameters, len(data.classes))
    folder.mkdir(parents=True)
    save_file(network.state_dict(), folder / "weights.safetensors")
    recorded = {
        "experiment": f"{dataset}-{system}", "dataset": dataset, "system": system, "modality": "visible",
        "views": "face", "protocol": "official", "fold": "0", "seed": 0, "threads": 1, "classes": data.classes,
        "alignment": data.alignment.model_dump(), "architecture": parameters.architecture,
        "input": parameters.input.model_dump(), "recipe": parameters.recipe.model_dump(mode="json"),
    }  # fmt: skip
    (folder / "parameters.json").write_text(json.dumps(recorded | changes))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("models") / "run")


@pytest.fixture(scope="module")
def recognizer(model):
    return fer.load(model, threads=1)


@pytest.fixture(scope="module")
def faces():
    """Two drawn faces, uint8 RGB (192, 192, 3)."""
    pictures = []
    for subject in range(2):
        generator = np.random.default_rng(subject)
        identity = synthetic.make_identity(0, subject)
        scene = synthetic.pose(identity, "happiness", generator, SIDE)
        pictures.append(synthetic.draw_visible(scene))
    return pictures


@pytest.fixture(scope="module")
def party(faces):
    """A photograph of 640×480 with two faces, the left one smaller."""
    image = np.full((480, 640, 3), 90, np.uint8)
    image[150:270, 60:180] = cv2.resize(faces[0], (120, 120), interpolation=cv2.INTER_AREA)
    image[120 : 120 + SIDE, 360 : 360 + SIDE] = faces[1]
    return image


def predict(*words, ok=True):
    command = [sys.executable, "-m", "fer", "predict", *map(str, words), "--threads", "1"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert not ok or result.returncode == 0, result.stderr
    return result


def test_every_face_has_box_landmarks_and_probabilities_in_pixels_of_the_photograph(recognizer, party):
    large, small = recognizer(party)
    assert 360 < large.box[0] < large.box[2] < 360 + SIDE and 60 < small.box[0] < small.box[2] < 180
    assert large.landmarks.shape == (68, 2) and 360 < large.landmarks[:, 0].mean() < 360 + SIDE
    assert list(large.probabilities) == params.load_dataset("fer2013").classes
    assert sum(large.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert large.probabilities[large.label] == large.confidence == max(large.probabilities.values())


def test_a_list_of_images_gives_a_list_of_faces_for_each_the_same_as_one_by_one(recognizer, party, faces, tmp_path):
    cv2.imwrite(str(tmp_path / "party.png"), party[..., ::-1])
    together = recognizer([tmp_path / "party.png", faces[1], np.zeros((100, 80), np.uint8)])
    assert [len(found) for found in together] == [2, 1, 0]
    for found, image in zip(together, (party, faces[1]), strict=False):
        for one, other in zip(found, recognizer(image), strict=True):
            np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


def test_a_colour_photograph_and_its_grey_copy_show_a_grey_network_the_same(recognizer, faces):
    grey = cv2.cvtColor(faces[0], cv2.COLOR_RGB2GRAY)
    for image in (faces[0], np.dstack([faces[0], np.full(faces[0].shape[:2], 255, np.uint8)])):
        np.testing.assert_allclose(recognizer(image)[0].scores, recognizer(grey)[0].scores, atol=1e-6)


def test_blazeface_finds_the_same_faces_their_landmarks_and_small_ones_in_a_large_picture(recognizer, party):
    for one, other in zip(recognizer(party, detector="hog"), recognizer(party, detector="blazeface"), strict=True):
        side = one.box[2] - one.box[0]
        assert np.abs(one.box - other.box).max() < 0.35 * side
        assert np.linalg.norm(one.landmarks - other.landmarks, axis=1).mean() < 0.08 * side
    wide = np.full((1000, 1600, 3), 90, np.uint8)
    wide[700:800, 1300:1400] = cv2.resize(party[120:312, 360:552], (100, 100), interpolation=cv2.INTER_AREA)
    (small,) = recognizer(wide, detector="blazeface")
    assert 1300 < small.box[0] < small.box[2] < 1400 and 700 < small.landmarks[:, 1].mean() < 800
    assert recognizer(np.zeros((90, 300), np.uint8), detector="blazeface") == []
    with pytest.raises(FerError, match="unknown detector 'haar'; expected blazeface or hog"):
        recognizer(party, detector="haar")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4, 3)), "float64"),
        (np.zeros((4, 4, 7), np.uint8), r"\(4, 4, 7\)"),
        (np.zeros((0, 4), np.uint8), "no pixels"),
        ("nowhere.jpg", "nowhere.jpg does not exist"),
    ],
)
def test_what_is_not_an_image_is_an_error_that_says_what_was_given(recognizer, image, words):
    with pytest.raises(FerError, match=words):
        recognizer(image)


def test_an_unknown_model_is_an_error_that_names_the_released_ones(tmp_path):
    with pytest.raises(FerError, match="no model is called 'fer2013-nothing'. Released: "):
        fer.load("fer2013-nothing")
    with pytest.raises(FerError, match="trained run: it has no parameters.json and no weights.safetensors. Expected"):
        fer.load(tmp_path)
    (tmp_path / "parameters.json").write_text("{}")
    with pytest.raises(FerError, match="trained run: it has no weights.safetensors"):
        fer.load(tmp_path)


@pytest.mark.parametrize(("key", "value"), [("modality", "infrared"), ("views", "both")])
def test_a_network_that_needs_more_than_a_photograph_is_refused(tmp_path, key, value):
    with pytest.raises(FerError, match=value):
        fer.load(run_folder(tmp_path / "run", **{key: value}))


def test_about_says_what_was_measured_and_what_it_must_not_be_used_for(model, recognizer):
    figures = {"n": 70, "accuracy": 0.5, "interval": {"accuracy": [0.4, 0.6]}}
    (model / "metrics.json").write_text(json.dumps(figures))
    words = str(fer.load(model, threads=1).about)
    assert "50.00 % (n = 70, 95 % interval 40.0 to 60.0 %)" in words and "must not" in words.lower()


def test_about_a_run_says_that_its_faces_were_synthetic_and_that_its_accuracy_is_not_a_test_result(tmp_path):
    recipe = params.load_system("dnn").recipe.model_dump(mode="json") | {"choose_epoch_on": "test"}
    started = {"ferplus": "official, fold 0"}
    folder = run_folder(tmp_path / "run", recipe=recipe, augment_before_split=True, started_on=started)
    (folder / "summary.json").write_text(json.dumps({"synthetic": True}))
    words = predict("--model", folder, "--about").stdout
    assert "SYNTHETIC: trained on synthetic faces" in words and "trained on ferplus (official, fold 0)" in words
    assert "chosen on the test images" in words and "augmented before the split" in words
    assert words.count("not a test result") == 2


def test_every_released_model_is_small_recognises_faces_and_says_how_accurate_it_is(faces):
    from fer.recognition.recognizer import PRETRAINED, released

    assert "fer2013-fer_baseline" in released()
    words = str(fer.load("fer2013-fer_baseline", threads=1).about)
    assert "trained on fer2013 (official, fold 0)" in words and "earlier run, which make up 20 %" in words
    assert sum(path.stat().st_size for path in PRETRAINED.rglob("*") if path.is_file()) < 6_000_000
    for name in released():
        recognizer = fer.load(name, threads=1)
        assert len(recognizer(faces[0])) == 1
        known = recognizer.about
        assert known.interval[0] < known.accuracy < known.interval[1] and known.n_without_leaked < known.n


def test_faces_keep_their_numbers_from_frame_to_frame_and_smoothing_mixes_what_was_said_before():
    def face(left, scores):
        box = np.array([left, 0, left + 50, 50], np.float32)
        return Face(box, np.zeros((68, 2), np.float32), 1.0, ("a", "b"), np.array(scores, np.float32))

    tracker = Tracker(smoothing=0.5)
    assert [number for number, _ in tracker.follow([face(0, [1, 0]), face(100, [0, 1])])] == [0, 1]
    assert tracker.follow([]) == []
    moved = tracker.follow([face(110, [0, 1]), face(5, [0, 1]), face(300, [1, 0])])
    assert [number for number, _ in moved] == [1, 0, 2]
    np.testing.assert_allclose(moved[1][1].scores, [0.5, 0.5])


def test_predict_writes_a_row_a_face_draws_them_and_goes_on_after_files_that_cannot_be_read(model, party, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "party.png"), party[..., ::-1])
    (folder / "empty.jpg").touch()
    (folder / "damaged.png").write_bytes((folder / "party.png").read_bytes()[:500])
    (folder / "silent.mp4").write_bytes(b"not a video")
    output = tmp_path / "faces.csv"
    result = predict(folder, "--model", model, "--output", output, "--draw", tmp_path / "drawn")
    table = pd.read_csv(output)
    assert len(table) == 2 and table["source"].unique() == [str(folder / "party.png")]
    np.testing.assert_allclose(table.filter(like="p_").sum(axis=1), 1, atol=1e-4)
    for name in ("empty.jpg", "damaged.png", "silent.mp4"):
        assert len([line for line in result.stderr.splitlines() if name in line and "Traceback" not in line]) == 1
    assert re.search(r"1 picture, 2 faces \(by (hog|blazeface)\), 3 files unreadable", result.stderr)
    assert cv2.imread(str(tmp_path / "drawn" / "party.png.png")).shape == party.shape


def test_predict_follows_the_faces_of_a_video_and_writes_a_video_and_json_lines(model, faces, tmp_path):
    video = tmp_path / "talk.mp4"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"mp4v"), 10, (320, 240))
    for step in range(6):
        image = np.full((240, 320, 3), 90, np.uint8)
        image[24 : 24 + SIDE, 20 + 8 * step : 20 + 8 * step + SIDE] = faces[0][..., ::-1]
        writer.write(image)
    writer.release()
    output = tmp_path / "faces.jsonl"
    predict(
        video, "--model", model, "--every", "2", "--output", output, "--draw", tmp_path / "drawn", "--smoothing", 0.5
    )
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [(row["frame"], row["seconds"], row["face"]) for row in rows] == [(0, 0.0, 0), (2, 0.2, 0), (4, 0.4, 0)]
    drawn = cv2.VideoCapture(str(tmp_path / "drawn" / "talk.mp4"))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert drawn.get(cv2.CAP_PROP_FPS) == pytest.approx(5), "every second of 10 a second: the speed stays"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interruption_leaves_the_earlier_rows(model, party, tmp_path, number):
    """The second picture is a pipe that nobody has written to yet: the rows of the first are there by then."""
    cv2.imwrite(str(tmp_path / "party.png"), party[..., ::-1])
    os.mkfifo(tmp_path / "later.png")
    output = tmp_path / "faces.csv"
    output.write_text("earlier")
    words = [tmp_path / "party.png", tmp_path / "later.png", "--model", model, "--output", output, "--threads", 1]
    process = subprocess.Popen([sys.executable, "-m", "fer", "predict", *map(str, words)], stderr=subprocess.PIPE)
    with open(tmp_path / "later.png", "wb"):  # once the process reads it
        process.send_signal(number)
        process.wait(60)
    assert process.returncode != 0 and output.read_text() == "earlier"
    assert number == signal.SIGKILL or not list(tmp_path.glob(".*.partial"))
    predict(tmp_path / "party.png", "--model", model, "--output", output)
    assert len(pd.read_csv(output)) == 2 and not list(tmp_path.glob(".*.partial"))


def test_ctrl_c_ends_a_camera_and_its_rows_are_written(recognizer, party, tmp_path, monkeypatch):
    def pictures(number, every):
        yield Frame("camera 0", party, 0, 0.0)
        raise KeyboardInterrupt

    monkeypatch.setattr("fer.recognition.media.camera_frames", pictures)
    output = tmp_path / "faces.jsonl"
    assert run_predict(recognizer, [], output, Options(smallest=40), camera=0).startswith("1 picture, 2 faces")
    assert [json.loads(line)["face"] for line in output.read_text().splitlines()] == [0, 1]


def test_a_pil_image_of_any_mode_of_8_bits_is_seen_as_its_file_is(recognizer, faces, tmp_path):
    picture = Image.fromarray(faces[0])
    clear = picture.convert("RGBA")
    clear.putalpha(Image.fromarray(np.pad(np.full((SIDE - 40, SIDE), 255, np.uint8), ((40, 0), (0, 0)))))
    for number, image in enumerate([picture.convert("P"), picture.convert("LA"), clear]):
        image.save(tmp_path / f"{number}.png")
        (one,), (other,) = recognizer([tmp_path / f"{number}.png", image])
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
    (one,), (other,) = recognizer([faces[0], picture.convert("CMYK")])
    np.testing.assert_allclose(one.scores, other.scores, atol=0.01)
    with pytest.raises(FerError, match="smallest: given 0; expected a side in pixels, 1 or more"):
        recognizer(picture, smallest=0)


def test_the_boxes_of_a_large_photograph_are_in_its_own_pixels(recognizer, party, tmp_path):
    large = cv2.resize(party, (3200, 2400), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "large.png"), large[..., ::-1])
    for one, other in zip(recognizer(tmp_path / "large.png"), recognizer(large), strict=True):
        np.testing.assert_array_equal(one.box, other.box)
    first = recognizer(tmp_path / "large.png")[0]
    assert 360 * 5 < first.box[0] < first.box[2] < (360 + SIDE) * 5


def test_a_picture_of_a_rare_kind_that_can_be_decoded_is_read_where_it_is_named(recognizer, party, tmp_path):
    cv2.imwrite(str(tmp_path / "party.pam"), party[..., ::-1])
    cv2.imwrite(str(tmp_path / "party.png"), party[..., ::-1])
    assert [face.label for face in recognizer(tmp_path / "party.pam")] == [
        face.label for face in recognizer(tmp_path / "party.png")
    ]


def test_a_folder_s_images_of_a_kind_that_is_not_read_are_named_and_hidden_files_are_passed_over(
    model, party, tmp_path
):
    cv2.imwrite(str(tmp_path / "party.avif"), party[..., ::-1])
    (tmp_path / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    (tmp_path / "._party.jpg").write_bytes(b"\0\5\x16\7")  # which macOS leaves on a memory stick
    result = predict(tmp_path, "--model", model)
    assert result.stdout.count(f"{tmp_path / 'party.avif'},") == 2 and "1 file unreadable" in result.stderr
    assert "phone.HEIC: HEIC is not read: convert it to JPEG or PNG" in result.stderr and "._" not in result.stderr


def test_rows_that_cannot_be_written_are_an_error_and_no_unreadable_picture(model, party, tmp_path):
    cv2.imwrite(str(tmp_path / "party.png"), party[..., ::-1])
    (tmp_path / "drawn").touch()
    result = predict(tmp_path / "party.png", "--model", model, "--draw", tmp_path / "drawn", ok=False)
    assert result.returncode == 1 and "unreadable" not in result.stderr and "drawn" in result.stderr


def test_earlier_rows_stay_where_no_picture_can_be_read(model, tmp_path):
    output = tmp_path / "faces.csv"
    assert predict("README.md", "--model", model, "--output", output, ok=False).returncode == 2 and not output.exists()
    output.write_text("earlier")
    assert predict("README.md", "--model", model, "--output", output, ok=False).returncode == 2
    assert output.read_text() == "earlier"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no input given"),
        (("nowhere",), "nowhere does not exist"),
        (("--camera", "9"), "camera 9 cannot be opened"),
        (("README.md",), "nothing could be read"),
        (("README.md", "--output", "faces.txt"), r".csv or .jsonl"),
    ],
)
def test_what_cannot_be_predicted_is_one_error_line_that_says_why(model, words, said):
    result = predict(*words, "--model", model, ok=False)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert said in result.stderr.splitlines()[-1]


def test_a_face_is_cut_as_the_network_was_trained_to_see_it(recognizer, faces):
    """FER2013's own crops are used as distributed; the eyes of a photograph's crop lie where they lie in those."""
    from fer.faces import crops
    from fer.recognition.detection import detect

    found = detect(crops.grey(faces[0]))[0]
    crop = recognizer.crop(faces[0], found)
    marked = np.zeros(faces[0].shape[:2], np.uint8)
    right, left = found.landmarks[36:42].mean(0), found.landmarks[42:48].mean(0)
    for x, y in (right, left):
        cv2.circle(marked, (round(float(x)), round(float(y))), 4, 255, -1)
    where = replace(recognizer).crop(marked, found)
    row, column = (axis.mean() for axis in np.nonzero(where[:, :24] > 60))
    assert crop.shape == (48, 48)
    assert (column + 0.5) / 48 == pytest.approx(0.314, abs=0.02) and (row + 0.5) / 48 == pytest.approx(0.394, abs=0.02)
