"""JAFFE in all its layouts gives the images, labels and subjects that its names tell; errors are clear."""

import re
from collections import Counter
from pathlib import PurePosixPath

import pytest
from dataset_sources import FORMS, changed, image, share_of_faces_found, take, unpacked

from fer import params
from fer.datasets import jaffe
from fer.errors import FerError

EXPRESSIONS = ("AN", "DI", "FE", "HA", "NE", "SA", "SU")  # as in the file names, in the order of the codes
SUBJECTS = ("KA", "KL", "YM")
KINDS = [(subject, code) for subject in SUBJECTS for code in range(7)]
FILES = {
    f"jaffe/{subject}.{EXPRESSIONS[code]}{1 + number % 3}.{number}.tiff": image(number, ".tiff")
    for number, (subject, code) in enumerate(KINDS, 1)
}
EXPECTED = sorted((image(number, ".tiff"), code, subject) for number, (subject, code) in enumerate(KINDS, 1))


@pytest.mark.parametrize("form", FORMS)
def test_every_layout_gives_the_images_with_label_and_subject(form, tmp_path):
    taken = take("jaffe", FORMS[form](tmp_path, FILES), tmp_path / "out")
    assert taken.seen("image", "label", "subject") == EXPECTED and not taken.left_out
    assert taken.rows[["part", "pair", "sequence"]].isna().all(axis=None)


def test_names_in_lower_case_give_the_same_subjects(tmp_path):
    files = {name.lower(): data for name, data in FILES.items()}
    assert (
        take("jaffe", unpacked(tmp_path / "in", files), tmp_path / "out").seen("image", "label", "subject") == EXPECTED
    )


def test_files_that_are_no_part_of_it_are_left_out_and_counted(tmp_path):
    extra = {"README_FIRST.txt": b"x", "figure.png": image(0), "KA.AN1.39.txt": b"x"}
    taken = take("jaffe", unpacked(tmp_path / "in", FILES | extra), tmp_path / "out")
    assert taken.seen("image", "label", "subject") == EXPECTED
    assert taken.left_out == {"not named as the images of JAFFE are (KA.AN1.39.tiff)": 3}


BAD = {
    "unknown expression": (
        {"KA.XX1.300.tiff": image(1)},
        r"KA\.XX1\.300\.tiff: unknown expression 'XX'; expected AN, DI",
    ),
    "unknown subject": ({"ZZ.AN1.300.tiff": image(1)}, r"ZZ\.AN1\.300\.tiff: unknown subject 'ZZ'; expected KA, KL"),
    "twice": ({"copy/KA.AN2.1.png": image(1)}, r"KA\.AN2\.1\.tiff and .*KA\.AN2\.1\.png|are the same image KA\.AN2\.1"),
    "no image": ({"KA.AN1.300.tiff": b"<html>"}, r"KA\.AN1\.300\.tiff.*is a web page, not the file"),
    "empty": ({"KA.AN1.300.tiff": b""}, r"KA\.AN1\.300\.tiff: the file is empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_a_clear_error_and_leaves_nothing(name, tmp_path):
    extra, message = BAD[name]
    with pytest.raises(FerError) as error:
        take("jaffe", unpacked(tmp_path / "in", FILES | extra), tmp_path / "out")
    assert re.search(message, str(error.value), flags=re.DOTALL), error.value
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_another_dataset_is_refused_with_the_place_to_get_this_one(tmp_path):
    with pytest.raises(FerError, match="holds no image of JAFFE.*Zenodo, record 3451524"):
        take("jaffe", unpacked(tmp_path / "in", {"a/1.png": image(1)}), tmp_path / "out")


def test_a_class_that_the_parameters_lack_is_named(tmp_path):
    six = [name for name in params.load_dataset("jaffe").classes if name != "neutral"]
    with pytest.raises(FerError, match=r"unknown label 'neutral'; expected anger.*KA\.NE"):
        take("jaffe", unpacked(tmp_path / "in", FILES), tmp_path / "out", changed("jaffe", classes=six))


def test_the_parameters_list_the_official_subjects():
    assert tuple(params.load_dataset("jaffe").subjects) == jaffe.SUBJECTS
    assert sum(params.load_dataset("jaffe").official_counts["all"]) == 213


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return take("jaffe", "synthetic", tmp_path_factory.mktemp("jaffe"), samples=213)


def test_the_synthetic_source_has_the_official_counts_names_and_sizes(synthetic):
    assert Counter(synthetic.rows["label"]) == dict(enumerate(params.load_dataset("jaffe").official_counts["all"]))
    assert set(synthetic.rows["subject"]) == set(jaffe.SUBJECTS)
    assert synthetic.rows.groupby("subject")["label"].nunique().eq(7).all()
    assert {image.shape for image in synthetic.images()} == {(256, 256)}
    for path, label in synthetic.seen("path", "label"):
        assert re.fullmatch(rf"[A-Z]{{2}}\.{EXPRESSIONS[label]}[1-4]\.\d{{1,3}}\.tiff", PurePosixPath(path).name)
    assert "all 213: as official" in synthetic.line


def test_dlib_finds_at_least_95_percent_of_the_synthetic_faces(synthetic):
    assert share_of_faces_found(synthetic) >= 0.95
