"""CK+ in all its layouts gives the frames, labels, subjects and sequences that its names tell; errors are clear."""

import re
from collections import Counter
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np
import pytest
from dataset_sources import FORMS, changed, image, share_of_faces_found, take, unpacked, zipped

from fer import params
from fer.datasets import adapter, ckplus
from fer.datasets import synthetic as drawing
from fer.errors import FerError

# sequence: (official label or None, frames)
SEQUENCES = {"S005_001": (3, 5), "S010_002": (1, 4), "S010_004": (7, 3), "S011_001": (None, 4), "S014_005": (2, 6)}
CODES = {1: 0, 2: 1, 3: 2, 7: 6}  # without neutral, codes are the official ones less one


def place(sequence, frame):
    subject, number = sequence.split("_")
    return f"{subject}/{number}/{sequence}_{frame:08}"


IMAGES = {
    f"cohn-kanade-images/{place(sequence, frame)}.png": image(1000 * number + frame)
    for number, (sequence, (_, length)) in enumerate(SEQUENCES.items())
    for frame in range(1, length + 1)
}
LABELS = {
    f"Emotion/{place(sequence, length)}_emotion.txt": f"   {label:.7e}\n".encode()
    for sequence, (label, length) in SEQUENCES.items()
    if label is not None
}
FILES = IMAGES | LABELS
EXPECTED = sorted(
    (image(1000 * number + frame), CODES[label], sequence[:4], sequence)
    for number, (sequence, (label, length)) in enumerate(SEQUENCES.items())
    if label is not None
    for frame in range(length - 2, length + 1)
)


def two_archives(folder):
    zipped(folder / "in/extended-cohn-kanade-images.zip", IMAGES)
    return zipped(folder / "in/Emotion_labels.zip", LABELS).parent


@pytest.mark.parametrize("form", [*FORMS, "two archives", "two archives in one"])
def test_every_layout_gives_the_last_three_frames_with_label_subject_and_sequence(form, tmp_path):
    if form in FORMS:
        source = FORMS[form](tmp_path, FILES)
    else:
        source = two_archives(tmp_path)
        if form == "two archives in one":
            source = zipped(tmp_path / "all.zip", {path.name: path.read_bytes() for path in source.iterdir()})
    taken = take("ckplus", source, tmp_path / "out")
    assert taken.seen("image", "label", "subject", "sequence") == EXPECTED
    assert taken.rows["part"].isna().all() and set(taken.rows["modality"]) == {"visible"}
    assert taken.left_out == {
        "frame of a sequence without an emotion label": 4,
        "frame before the last 3 of a labelled sequence": 6,
    }


def test_files_that_are_no_part_of_it_are_left_out_and_counted(tmp_path):
    extra = {"readme.txt": b"x", "Landmarks/S005/001/S005_001_00000001_landmarks.txt": b"1 2", "face.png": image(0)}
    taken = take("ckplus", unpacked(tmp_path / "in", FILES | extra), tmp_path / "out")
    assert taken.seen("image", "label", "subject", "sequence") == EXPECTED
    assert taken.left_out["neither a frame nor an emotion label"] == 3


def test_the_number_of_last_frames_is_an_option(tmp_path):
    taken = take("ckplus", unpacked(tmp_path / "in", FILES), tmp_path / "out", changed("ckplus", options={"frames": 1}))
    assert taken.seen("image") == sorted((data,) for name, data in IMAGES.items() if name.endswith(
        ("S005_001_00000005.png", "S010_002_00000004.png", "S010_004_00000003.png", "S014_005_00000006.png")
    ))  # fmt: skip


def with_neutral(frames=2):
    classes = ["neutral", *params.load_dataset("ckplus").classes]
    options = {"frames": frames, "neutral_first_frame": True}
    return changed("ckplus", classes=classes, options=options, official_counts={})


def test_the_first_frame_may_serve_as_neutral_and_stays_in_its_sequence(tmp_path):
    taken = take("ckplus", unpacked(tmp_path / "in", FILES), tmp_path / "out", with_neutral())
    neutral = taken.rows[taken.rows["label"] == 0]
    assert sorted(neutral["sequence"]) == ["S005_001", "S010_002", "S010_004", "S014_005"]
    assert neutral["path"].str.endswith("_00000001.png").all()
    others = taken.rows[taken.rows["label"] != 0]
    assert Counter(others["label"]) == {1: 2, 2: 2, 3: 2, 7: 2}, "codes are now the official ones"


def test_classes_that_are_not_asked_for_are_left_out(tmp_path):
    six = [name for name in params.load_dataset("ckplus").classes if name != "contempt"]
    dataset = changed("ckplus", classes=six, official_counts={})
    taken = take("ckplus", unpacked(tmp_path / "in", FILES), tmp_path / "out", dataset)
    assert (
        Counter(taken.rows["label"]) == {0: 3, 1: 3, 5: 3} and taken.left_out["contempt is not among the classes"] == 6
    )


# --- the cropped copy -----------------------------------------------------------------------------------------------

CK48 = {
    f"CK+48/{folder}/{sequence}_{frame:08}.png": image(100 * number + frame)
    for number, (sequence, folder) in enumerate(
        [("S010_004", "surprise"), ("S011_001", "anger"), ("S999_003", "happy"), ("S005_001", "contempt")]
    )
    for frame in (17, 18, 19)
}
CK48_CLASSES = {"S010_004": 6, "S011_001": 0, "S999_003": 4, "S005_001": 1}


@pytest.mark.parametrize("form", FORMS)
def test_the_cropped_copy_is_read_from_its_class_folders(form, tmp_path):
    taken = take("ckplus", FORMS[form](tmp_path, CK48), tmp_path / "out")
    assert not taken.left_out
    assert taken.seen("label", "subject", "sequence") == sorted(
        (code, sequence[:4], sequence) for sequence, code in CK48_CLASSES.items() for _ in range(3)
    )


# --- errors ---------------------------------------------------------------------------------------------------------

LABEL = "Emotion/S005/001/S005_001_00000005_emotion.txt"
FRAME = "cohn-kanade-images/S005/001/S005_001_00000005.png"


def without(files, name):
    return {path: data for path, data in files.items() if name not in path}


BAD = {
    "label no number": (FILES | {LABEL: b"happy"}, None, r"S005_001_00000005_emotion\.txt: the label 'happy' is not a"),
    "label empty": (FILES | {LABEL: b""}, None, "the label '' is not a number"),
    "label no text": (FILES | {LABEL: b"\xff\xfe\x00"}, None, "is not a number"),
    "label beyond": (FILES | {LABEL: b"8.0"}, None, r"_emotion\.txt: unknown label '8\.0'; expected 0 to 7"),
    "label between": (FILES | {LABEL: b"2.5"}, None, r"unknown label '2\.5'"),
    "label not finite": (FILES | {LABEL: b"nan"}, None, "unknown label 'nan'"),
    "two labels": (
        FILES | {LABEL.replace("005_em", "004_em"): b"1.0"},
        None,
        r"S005_001 has two labels: .*04_emotion.txt and .*05_emotion.txt",
    ),
    "other subject's folder": (
        FILES | {"x/S006/001/S005_001_00000009.png": image(1)},
        None,
        r"name says sequence S005_001, its folders S006/001",
    ),
    "other sequence's folder": (
        FILES | {"x/S005/002/S005_001_00000009.png": image(1)},
        None,
        r"x/S005/002/S005_001_00000009\.png: its name says sequence S005_001, its folders S005/002",
    ),
    "label in another's folder": (
        FILES | {"Emotion/S005/003/S005_002_00000009_emotion.txt": b"1"},
        None,
        "name says sequence S005_002, its folders S005/003",
    ),
    "label without images": (
        without(FILES, "cohn-kanade-images/S005"),
        None,
        r"1 label has no images: Emotion/S005/001/.*extended-cohn-kanade-images\.zip",
    ),
    "labels alone": (LABELS, None, "4 labels have no images"),
    "images alone": (IMAGES, None, r"has no label.*Emotion_labels\.zip beside extended-cohn-kanade-images\.zip"),
    "too few frames": (without(FILES, "S010_004_00000002.png"), None, r"S010_004 has 2 frames, fewer than the last 3"),
    "too few for neutral": (FILES, with_neutral(3), "S010_004 has 3 frames, fewer than the last 3 and the first"),
    "a frame twice": (FILES | {f"copy/{FRAME}": image(5)}, None, "are the same frame"),
    "no image": (FILES | {FRAME: b"<html>"}, None, r"S005_001_00000005\.png.*is a web page, not the file"),
    "unknown class folder": (
        CK48 | {"CK+48/angrry/S020_001_00000003.png": image(1)},
        None,
        "unknown class folder 'angrry'; expected neutral, anger",
    ),
    "a sequence in two classes": (
        CK48 | {"CK+48/fear/S010_004_00000016.png": image(1)},
        None,
        "frames of sequence S010_004 lie in several folders: fear, surprise",
    ),
    "neutral of the cropped copy": (CK48, with_neutral(), "neutral_first_frame: there are no first frames in the fold"),
    "more frames than the copy has": (CK48, changed("ckplus", options={"frames": 4}), "has 3 frames, .*the last 4"),
    "nothing": ({"notes.txt": b"x"}, None, r"holds no image of CK\+.*Emotion_labels\.zip"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_a_clear_error_and_leaves_nothing(name, tmp_path):
    files, dataset, message = BAD[name]
    with pytest.raises(FerError) as error:
        take("ckplus", unpacked(tmp_path / "in", files), tmp_path / "out", dataset)
    assert re.search(message, str(error.value), flags=re.DOTALL), error.value
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_neutral_frames_without_a_neutral_class_are_refused_at_once():
    with pytest.raises(FerError, match="neutral is not among the classes anger, contempt.*official_counts"):
        adapter("ckplus", changed("ckplus", options={"neutral_first_frame": True}))


def test_the_official_counts_are_three_frames_of_every_labelled_sequence():
    dataset = params.load_dataset("ckplus")
    assert dataset.official_counts["all"] == [3 * ckplus.SEQUENCES[name] for name in dataset.classes]
    assert sum(dataset.official_counts["all"]) == 981


# --- the synthetic source -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return take("ckplus", "synthetic", tmp_path_factory.mktemp("ckplus"), samples=120)


def test_the_synthetic_source_gives_the_labels_subjects_and_sequences_it_was_planned_with(synthetic):
    plan = adapter("ckplus", params.load_dataset("ckplus")).plan(120)
    assert synthetic.seen("path", "label") == sorted(
        (f"extended-cohn-kanade-images.zip/cohn-kanade-images/{clip.path(frame)}.png",
         list(ckplus.SEQUENCES).index(clip.name) - 1)
        for clip in plan if clip.labelled for frame in range(clip.length - 2, clip.length + 1)
    )  # fmt: skip
    assert synthetic.rows["subject"].nunique() >= 10 and 0.85 * 120 <= len(synthetic.rows) <= 1.15 * 120
    assert synthetic.left_out["frame of a sequence without an emotion label"] > 0
    for path, sequence in synthetic.seen("path", "sequence"):
        assert re.fullmatch(r"(S\d{3})/(\d{3})/\1_\2_\d{8}\.png", "/".join(PurePosixPath(path).parts[-3:]))
        assert PurePosixPath(path).name.startswith(sequence)


def test_synthetic_frames_are_as_large_as_the_official_ones_and_some_are_in_colour(synthetic):
    assert {image.shape for image in synthetic.images()} == {(490, 640), (480, 640, 3)}


def test_synthetic_classes_stand_in_the_official_proportions():
    plan = adapter("ckplus", params.load_dataset("ckplus")).plan(981)
    assert Counter(clip.name for clip in plan if clip.labelled) == {k: v for k, v in ckplus.SEQUENCES.items() if v}


def test_a_synthetic_sequence_moves_and_no_two_of_its_frames_are_equal(synthetic):
    images = dict(zip(synthetic.rows["path"], synthetic.images(), strict=True))
    for _, rows in synthetic.rows.groupby("sequence"):
        frames = [images[path] for path in sorted(rows["path"])]
        assert all(np.any(a != b) for a, b in pairwise(frames))


def test_an_expression_grows_with_its_intensity_while_the_head_stays():
    def landmarks(intensity):  # of a face whose dropped jaw stays inside the frame: others move up to stay, too
        return drawing.render("surprise", 6, 2, size=192, intensity=intensity).landmarks

    frames = [landmarks(intensity) for intensity in (0, 0.4, 0.7, 1)]
    openings = [points[66, 1] - points[62, 1] for points in frames]
    assert all(later > before + 1 for before, later in pairwise(openings))
    corners = [36, 39, 42, 45]  # of the eyes, which surprise does not move
    assert all(np.allclose(points[corners], frames[0][corners], atol=0.5) for points in frames)
    assert np.array_equal(landmarks(1), drawing.render("surprise", 6, 2, size=192).landmarks)


def test_dlib_finds_at_least_95_percent_of_the_synthetic_faces(synthetic):
    assert share_of_faces_found(synthetic) >= 0.95


def test_the_synthetic_source_has_first_frames_for_neutral_too(tmp_path):
    taken = take("ckplus", "synthetic", tmp_path, with_neutral(3), samples=40)
    assert (taken.rows["label"] == 0).sum() == taken.rows["sequence"].nunique()
