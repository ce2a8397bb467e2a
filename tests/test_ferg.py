"""FERG in all its layouts gives the images, labels and characters that its names tell; errors are clear."""

import re
from collections import Counter

import cv2
import numpy as np
import pytest
from dataset_sources import FORMS, image, share_of_faces_found, take, unpacked

from fer import params
from fer.datasets import ferg
from fer.errors import FerError

EXPRESSIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
KINDS = [
    (character, code, number) for character in ("aia", "mery") for code in range(7) for number in (1, 20)
]  # fmt: skip
WITH_ALPHA = cv2.imencode(".png", np.full((8, 8, 4), 7, np.uint8))[1].tobytes()
CONTENT = [image(place) if place else WITH_ALPHA for place in range(len(KINDS))]
FILES = {
    f"FERG_DB_256/{character}/{character}_{EXPRESSIONS[code]}/{character}_{EXPRESSIONS[code]}_{number}.png": data
    for (character, code, number), data in zip(KINDS, CONTENT, strict=True)
}
EXPECTED = sorted((data, code, character) for (character, code, _), data in zip(KINDS, CONTENT, strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_every_layout_gives_the_images_with_label_and_character(form, tmp_path):
    taken = take("ferg", FORMS[form](tmp_path, FILES), tmp_path / "out")
    assert taken.seen("image", "label", "subject") == EXPECTED and not taken.left_out


def test_images_out_of_their_folders_are_read_by_their_names(tmp_path):
    files = {name.rpartition("/")[2]: data for name, data in FILES.items()}
    assert (
        take("ferg", unpacked(tmp_path / "in", files), tmp_path / "out").seen("image", "label", "subject") == EXPECTED
    )


def test_a_folder_that_only_starts_like_a_character_means_nothing(tmp_path):
    files = {f"ray_of_light/aia/{name.rpartition('/')[2]}": data for name, data in FILES.items() if "/aia_" in name}
    assert set(take("ferg", unpacked(tmp_path / "in", files), tmp_path / "out").rows["subject"]) == {"aia"}


def test_files_that_are_no_part_of_it_are_left_out_and_counted(tmp_path):
    extra = {"FERG_DB_256/readme.txt": b"x", "FERG_DB_256/sheet.png": image(0)}
    taken = take("ferg", unpacked(tmp_path / "in", FILES | extra), tmp_path / "out")
    assert taken.seen("image", "label", "subject") == EXPECTED
    assert taken.left_out == {"not named as the images of FERG are (aia_anger_1.png)": 2}


BAD = {
    "unknown character": ("bob/bob_anger/bob_anger_1.png", image(1), "unknown character 'bob'; expected aia, bonnie"),
    "unknown expression": ("aia/aia_angr/aia_angr_1.png", image(1), "unknown label 'angr'; expected anger, disgust"),
    "another expression's folder": (
        "x/aia_fear/aia_anger_99.png",
        image(1),
        "name says aia_anger, its folder aia_fear",
    ),
    "another character's folder": ("x/mery_joy/aia_joy_99.png", image(1), "name says aia_joy, its folder mery_joy"),
    "a character's folder": ("x/mery/aia_joy_99.png", image(1), "name says aia_joy, its folder mery"),
    "twice": ("copy/aia_joy_20.png", image(1), "are the same image aia_joy_20"),
    "no image": ("aia/aia_joy/aia_joy_99.png", b"<html>", r"aia_joy_99\.png.*is a web page, not the file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_a_clear_error_and_leaves_nothing(name, tmp_path):
    path, data, message = BAD[name]
    with pytest.raises(FerError) as error:
        take("ferg", unpacked(tmp_path / "in", FILES | {path: data}), tmp_path / "out")
    assert re.search(message, str(error.value), flags=re.DOTALL), error.value
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_another_dataset_is_refused_with_the_place_to_get_this_one(tmp_path):
    with pytest.raises(FerError, match="holds no image of FERG.*University of Washington"):
        take("ferg", unpacked(tmp_path / "in", {"a/1.png": image(1)}), tmp_path / "out")


def test_the_parameters_list_the_official_characters():
    assert tuple(params.load_dataset("ferg").subjects) == ferg.CHARACTERS


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return take("ferg", "synthetic", tmp_path_factory.mktemp("ferg"), samples=168)


def test_the_synthetic_source_has_every_expression_of_every_character_equally_often(synthetic):
    assert Counter(synthetic.seen("subject", "label")) == {(c, code): 4 for c in ferg.CHARACTERS for code in range(7)}
    for path, subject, label in synthetic.seen("path", "subject", "label"):
        kind = f"{subject}_{EXPRESSIONS[label]}"
        assert re.fullmatch(rf"FERG_DB_256/{subject}/{kind}/{kind}_\d+\.png", path)


def test_synthetic_images_are_as_large_as_the_official_ones_and_some_have_alpha(synthetic):
    assert {image.shape for image in synthetic.images()} == {(256, 256, 3), (256, 256, 4)}


def test_dlib_finds_at_least_95_percent_of_the_synthetic_faces(synthetic):
    assert share_of_faces_found(synthetic) >= 0.95
