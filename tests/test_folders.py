"""A user's own dataset, a folder for each class, is read by its parameter file alone; errors are clear."""

import re
from collections import Counter

import pytest
import yaml
from dataset_sources import FORMS, image, share_of_faces_found, take, unpacked, zipped

from fer import params
from fer.datasets import adapter
from fer.errors import FerError

VALUES = {
    "title": "Mine",
    "citation": "none",
    "obtain": "ask me",
    "adapter": "folders",
    "classes": ["angry", "happy", "neutral"],
    "source": "synthetic",
    "samples": 60,
    "alignment": {"crop": "similarity", "size": 64, "channels": 3, "enlarge": [1, 2], "padding": 0, "missing": "drop"},
}


def parameters(**values):
    return params.Dataset.model_validate(VALUES | values)


def read(source, root, **values):
    return take("mine", source, root, parameters(**values), samples=60)


FLAT = {
    f"{name}/{inner}{number}.png": image(10 * code + number)
    for code, name in enumerate(VALUES["classes"])
    for number, inner in enumerate(("", "S01/", "more/S02/"))
}
FLAT_EXPECTED = sorted((image(10 * code + number), code, None) for code in range(3) for number in range(3))
PARTED = {
    f"{part}/{name}/{number}.png": image(100 * place + 10 * code + number)
    for place, part in enumerate(("train", "valid", "test"))
    for code, name in enumerate(VALUES["classes"])
    for number in range(2)
}
PARTED_EXPECTED = sorted(
    (image(100 * place + 10 * code + number), code, part)
    for place, part in enumerate(("train", "val", "test"))
    for code in range(3)
    for number in range(2)
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("files", "expected"), [(FLAT, FLAT_EXPECTED), (PARTED, PARTED_EXPECTED)], ids=["flat", "parts"]
)
def test_every_form_gives_the_images_with_label_and_part(form, files, expected, tmp_path):
    taken = read(FORMS[form](tmp_path, files), tmp_path / "out")
    assert taken.seen("image", "label", "part") == expected and not taken.left_out
    assert taken.rows["subject"].isna().all()


def test_parts_and_classes_may_be_archives_of_their_own(tmp_path):
    for part in ("train", "valid", "test"):
        inside = {name.partition("/")[2]: data for name, data in PARTED.items() if name.startswith(part)}
        zipped(tmp_path / f"in/{part}.zip", inside)
    assert read(tmp_path / "in", tmp_path / "a").seen("image", "label", "part") == PARTED_EXPECTED
    for name in VALUES["classes"]:
        inside = {path.partition("/")[2]: data for path, data in FLAT.items() if path.startswith(name)}
        zipped(tmp_path / f"classes/{name}.zip", inside)
    assert read(tmp_path / "classes", tmp_path / "b").seen("image", "label", "part") == FLAT_EXPECTED


def test_a_part_folder_packed_in_an_archive_of_its_name_counts_once(tmp_path):
    files = {f"{name.partition('/')[0]}.zip/{name}": data for name, data in PARTED.items()}
    taken = read(unpacked(tmp_path / "in", files), tmp_path / "out")
    assert taken.seen("image", "label", "part") == PARTED_EXPECTED


@pytest.mark.parametrize("names", [("Anger", "JOY", "Neutral"), ("ANGRY", "happiness", "neutral")])
def test_class_folders_may_bear_synonyms(names, tmp_path):
    files = {f"{names[code]}/{number}.png": image(10 * code + number) for code in range(3) for number in range(3)}
    assert read(unpacked(tmp_path / "in", files), tmp_path / "out").seen("image", "label", "part") == FLAT_EXPECTED


def test_the_subject_is_what_the_option_finds_in_the_path(tmp_path):
    files = {
        f"data/{c}/p{person}_{take}.png": image(9 * person + take)
        for c in ("happy", "angry")
        for person in (3, 12)
        for take in (0, 1)
    }
    taken = read(unpacked(tmp_path / "in", files), tmp_path / "out", options={"subject": r"/p(\d+)_"})
    assert Counter(taken.rows["subject"]) == {"3": 4, "12": 4}


def test_a_part_without_class_folders_is_named_among_what_is_left_out(tmp_path):
    files = {path: data for path, data in PARTED.items() if not path.startswith("test")} | {"test/1.png": image(1)}
    taken = read(unpacked(tmp_path / "in", files), tmp_path / "out")
    assert taken.left_out == {"in no class folder of the part test": 1}


def test_files_that_are_no_images_or_in_no_class_are_left_out_and_counted(tmp_path):
    extra = {"readme.md": b"x", "happy/notes.txt": b"x", "cover.png": image(0)}
    taken = read(unpacked(tmp_path / "in", FLAT | extra), tmp_path / "out")
    assert taken.seen("image", "label", "part") == FLAT_EXPECTED
    assert taken.left_out == {"not named as an image": 2, "in no class folder": 1}


SUBJECT = {"options": {"subject": r"/(S\d+)/"}}
BAD = {
    "unknown classes": (
        FLAT | {"happpy/1.png": image(1), "bored/1.png": image(1)},
        {},
        r"unknown class folders bored, happpy \(for example bored/1\.png\); expected angry, happy, neutral",
    ),
    "unknown class in a part": (
        PARTED | {"train/sad/1.png": image(1)},
        {},
        "unknown class folder sad .*which lack sad",
    ),
    "unknown part": (
        PARTED | {"extra/happy/1.png": image(1)},
        {},
        r"extra is neither a part nor a class, but holds class folders \(for example extra/happy/1\.png\)",
    ),
    "other versions of the images": (
        {f"{above}/{path}": data for above in ("aligned", "original") for path, data in FLAT.items()},
        {},
        r"aligned, original are neither parts nor classes, but hold class folders .* versions of the same images",
    ),
    "a part for some": (
        PARTED | {"happy/1.png": image(1)},
        {},
        r"test/angry/0\.png is in a part .* happy/1\.png is in none: put all images into parts, or none",
    ),
    "no subject in a path": (FLAT, SUBJECT, r"angry/0\.png.*angry/S01/1|options\.subject, .* finds no subject"),
    "no image": (FLAT | {"happy/9.png": b"<html>"}, {}, r"happy/9\.png.*is a web page, not the file"),
    "nothing": ({"notes.txt": b"x"}, {}, "holds no image of Mine. Expected: ask me"),
    "no class folders": (
        {"1.png": image(1), "2.png": image(2)},
        {},
        "holds no image of Mine.*in no class folder: 1.png",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_a_clear_error_and_leaves_nothing(name, tmp_path):
    files, values, message = BAD[name]
    with pytest.raises(FerError) as error:
        read(unpacked(tmp_path / "in", files), tmp_path / "out", **values)
    assert re.search(message, str(error.value), flags=re.DOTALL), error.value
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("/(S[0-9+/", r"'/\(S\[0-9\+/' is not a valid regular expression: unterminated"),
        ("S[0-9]+", "has 0 groups; expected one pair of brackets, around the subject"),
        ("(S)([0-9]+)", "has 2 groups"),
    ],
)
def test_a_subject_option_that_cannot_work_is_refused_before_anything_is_read(pattern, message):
    with pytest.raises(FerError, match=message):
        adapter("mine", parameters(options={"subject": pattern}))


def test_a_class_outside_the_common_label_space_is_refused_before_anything_is_read():
    with pytest.raises(FerError, match="unknown expression 'calm'. Known: anger, disgust"):
        adapter("mine", parameters(classes=["happy", "calm"]))


def test_one_parameter_file_makes_a_dataset(tmp_path, monkeypatch):
    (tmp_path / "params/datasets").mkdir(parents=True)
    (tmp_path / "params/datasets/mine.yaml").write_text(yaml.safe_dump(VALUES | SUBJECT))
    monkeypatch.chdir(tmp_path)
    dataset = params.load_dataset("mine")
    taken = take("mine", unpacked(tmp_path / "in", {"happy/S1/1.png": image(1)}), tmp_path / "out", dataset)
    assert taken.seen("label", "subject") == [(1, "S1")]


# --- the synthetic source -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    options = {"subject": r"/(S\d+)_"}
    dataset = parameters(options=options, classes=["angry", "happy", "neutral", "surprise"])
    return take("mine", "synthetic", tmp_path_factory.mktemp("mine"), dataset, samples=160)


def test_the_synthetic_source_has_three_parts_without_common_subjects(synthetic):
    assert 150 <= len(synthetic.rows) <= 170 and set(synthetic.rows["part"]) == {"train", "val", "test"}
    assert synthetic.rows.groupby("part")["label"].nunique().eq(4).all()
    assert synthetic.rows.groupby("subject")["part"].nunique().eq(1).all()
    for path, part, label, subject in synthetic.seen("path", "part", "label", "subject"):
        name = ("angry", "happy", "neutral", "surprise")[label]
        assert re.fullmatch(rf"{part}/{name}/{subject}_\d+\.png", path)


def test_dlib_finds_at_least_95_percent_of_the_synthetic_faces(synthetic):
    assert share_of_faces_found(synthetic) >= 0.95


def test_the_synthetic_source_follows_the_official_counts():
    counts = {"train": [300, 100, 100], "test": [50, 50, 0]}
    plan = adapter("mine", parameters(official_counts=counts)).plan(60)
    assert Counter(path.rpartition("/")[0] for path, *_ in plan) == {
        "train/angry": 30, "train/happy": 10, "train/neutral": 10, "test/angry": 5, "test/happy": 5, "test/neutral": 2,
    }  # fmt: skip


def test_a_subject_option_that_synthetic_names_do_not_fit_is_explained(tmp_path):
    with pytest.raises(
        FerError, match=r"does not match the names of the synthetic source, such as train/\w+/S\d+_0\.png"
    ):
        read("synthetic", tmp_path, options={"subject": r"person(\d+)"})
