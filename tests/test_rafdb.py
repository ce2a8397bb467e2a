"""RAF-DB in its official layout and as class folders gives the same labels and parts; what does not fit is refused."""

import re
from collections import Counter

import pytest
from archived_sources import packed, without_archives
from dataset_sources import FORMS, changed, image, take, unpacked, zipped

from fer import params
from fer.datasets import adapter
from fer.errors import FerError
from fer.storage import sha256

CODES = {"train": [5, 4, 1, 2, 3, 6, 7, 4], "test": [7, 1, 6]}  # of train_00001, train_00002, …
LIST = "basic/EmoLabel/list_patition_label.txt"
NAMES = {
    (part, number): f"{part}_{number:0{5 if part == 'train' else 4}}"
    for part, codes in CODES.items()
    for number in range(1, len(codes) + 1)
}


def code(part, number):
    return CODES[part][number - 1]


def data(part, number):
    return image(number + 100 * (part == "test"), ".jpg")


IMAGES = {f"aligned/{name}_aligned.jpg": data(*key) for key, name in NAMES.items()}
LINES = "".join(f"{name}.jpg {code(*key)}\n" for key, name in NAMES.items())
OFFICIAL = {LIST: LINES.encode()} | {f"basic/Image/aligned.zip/{path}": content for path, content in IMAGES.items()}
FOLDERS = {f"DATASET/{key[0]}/{code(*key)}/{name}_aligned.jpg": data(*key) for key, name in NAMES.items()}
TABLES = {
    f"{part}_labels.csv": "\n".join(
        ["image,label", *(f"{name}_aligned.jpg,{code(*key)}" for key, name in NAMES.items() if key[0] == part)]
    ).encode()
    for part in CODES
}
EXPECTED = sorted((code(*key) - 1, key[0], sha256(data(*key))) for key in NAMES)


def seen(taken):
    rows = taken.rows.assign(sha256=[sha256(content) for content in taken.rows["image"]])
    return sorted(rows[["label", "part", "sha256"]].itertuples(index=False, name=None))


LAYOUTS = {
    "official, as it comes": packed(OFFICIAL),
    "official, unpacked": without_archives(OFFICIAL),
    "class folders": FOLDERS,
    "class folders and tables": FOLDERS | TABLES,
    "tables alone tell the labels": TABLES | IMAGES,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_in_every_form_gives_the_same_images_labels_and_parts(layout, form, tmp_path):
    files = LAYOUTS[layout]
    assert seen(take("rafdb", FORMS[form](tmp_path, files), tmp_path / "out")) == EXPECTED


def test_the_whole_distribution_packed_into_one_archive_is_read(tmp_path):
    source = zipped(tmp_path / "RAF-DB.zip", packed({f"basic.zip/{path}": data for path, data in OFFICIAL.items()}))
    assert seen(take("rafdb", source, tmp_path / "out")) == EXPECTED


def test_codes_1_to_7_are_surprise_to_neutral_in_the_published_numbers():
    dataset = params.load_dataset("rafdb")
    assert dataset.classes == ["surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"]
    counts = dataset.official_counts
    assert {part: sum(numbers) for part, numbers in counts.items()} == {"train": 12271, "test": 3068}
    assert [sum(numbers) for numbers in zip(*counts.values(), strict=True)] == [1619, 355, 877, 5957, 2460, 867, 3204]


def test_photographs_before_alignment_and_the_compound_set_are_left_out_and_counted(tmp_path):
    files = OFFICIAL | {
        "basic/Image/original/train_00001.jpg": image(1),
        "basic/Annotation/boundingbox/train_00001_boundingbox.txt": b"1 2 3 4",
        "compound/Image/aligned/train_0001_aligned.jpg": image(2),
        "compound/EmoLabel/list_patition_label.txt": b"train_0001.jpg 11\n",
        "holiday.jpg": image(3),
    }
    taken = take("rafdb", unpacked(tmp_path / "in", packed(files)), tmp_path / "out")
    assert seen(taken) == EXPECTED
    assert taken.left_out == {
        "of the compound set": 2, "not named as an image": 1,
        "not an aligned face (its name does not end in _aligned)": 2,
    }  # fmt: skip


def test_raw_keeps_every_byte_and_the_official_code(tmp_path):
    taken = take("rafdb", unpacked(tmp_path / "in", without_archives(OFFICIAL)), tmp_path / "out")
    for row in taken.rows.itertuples():
        assert row.image == (tmp_path / "in" / row.path).read_bytes()


def test_blank_lines_tabs_windows_endings_and_a_byte_order_mark_change_nothing(tmp_path):
    text = "\ufeff\n" + LINES.replace(" ", "\t").replace("\n", " \r\n") + "\r\n"
    files = without_archives(OFFICIAL) | {LIST: text.encode()}
    assert seen(take("rafdb", unpacked(tmp_path / "in", files), tmp_path / "out")) == EXPECTED


def listed(change):
    """Return the official layout with another label list."""
    return without_archives(OFFICIAL) | {LIST: change(LINES).encode()}


NEW = "DATASET/train/3/train_00099_aligned.jpg"
TABLE = TABLES["test_labels.csv"]
NO_LIST = {path: content for path, content in without_archives(OFFICIAL).items() if path != LIST}
PHOTO = "basic/Image/aligned/aligned/train_00099_aligned.jpg"
BAD = {
    "image without label": (without_archives(OFFICIAL) | {PHOTO: image(9)}, "1 image has no label, such as .*00099"),
    "label without image": (
        listed(lambda text: text + "test_0099.jpg 3\n"),
        r"1 label has no image, such as test_99 \(.*list_patition_label\.txt, line 12\)",
    ),
    "no list": (NO_LIST, r"11 images have no label.*Expected one for each in list_patition_label\.txt"),
    "list alone": ({LIST: LINES.encode()}, "11 labels have no image"),
    "unknown code": (listed(lambda text: text.replace(" 2\n", " 8\n")), r"line 4: unknown code '8'; expected 1 to 7"),
    "code 0": (listed(lambda text: text.replace(" 2\n", " 0\n")), "line 4: unknown code '0'"),
    "named code": (listed(lambda text: text.replace(" 2\n", " fear\n")), "line 4: unknown code 'fear'"),
    "duplicate line": (
        listed(lambda text: text + "train_00002.jpg 4\n"),
        r"line 12: train_00002\.jpg has a label already \(.*line 2\)",
    ),
    "three fields": (listed(lambda text: text.replace(" 2\n", " 2 2\n")), r"line 4: 'train_00004\.jpg 2 2'; expected"),
    "no code": (listed(lambda text: text.replace(" 2\n", "\n")), r"line 4: 'train_00004\.jpg'; expected the name"),
    "other name": (listed(lambda text: text.replace("train_00004", "img4")), r"line 4: 'img4\.jpg 2'; expected"),
    "other encoding": (
        without_archives(OFFICIAL) | {LIST: LINES.encode("utf-16")},
        r"list_patition_label\.txt is not text in UTF-8",
    ),
    "wrong columns": (FOLDERS | {"train_labels.csv": b"file,class\n"}, r"train_labels\.csv, line 1: 'file,class'"),
    "table disagrees": (
        FOLDERS | TABLES | {"test_labels.csv": TABLE.replace(b"1_aligned.jpg,7", b"1_aligned.jpg,2")},
        r"test/7/test_0001_aligned\.jpg: lies in the folder of 7, but is 2 in test_labels\.csv, row 0 \(line 2\)",
    ),
    "not in the table": (FOLDERS | TABLES | {NEW: image(9)}, "has no label"),
    "unknown folder": (FOLDERS | {"DATASET/train/8/train_00099_aligned.jpg": image(9)}, r"unknown code '8'"),
    "wrong part": (FOLDERS | {"DATASET/train/3/test_0099_aligned.jpg": image(9)}, "part 'test', .*folder 'train'"),
    "two copies": (
        FOLDERS | {"DATASET/train/3/train_00001_aligned.jpg": image(9)},
        r"train/5/train_00001_aligned\.jpg and .*train/3/\S+ are the same image train_1",
    ),
    "no image": (FOLDERS | {NEW: b"<html>"}, r"00099_aligned\.jpg.*is a web page, not the file"),
    "nothing": ({"notes.txt": b"mine"}, "holds no image of RAF-DB.*whdeng"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_gets_a_clear_error_and_leaves_nothing(name, tmp_path):
    files, message = BAD[name]
    with pytest.raises(FerError) as error:
        take("rafdb", unpacked(tmp_path / "in", files), tmp_path / "out")
    assert re.search(message, str(error.value), flags=re.DOTALL), error.value
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


# --- the synthetic source -------------------------------------------------------------------------------------------


def test_the_synthetic_source_is_the_official_folder_and_gives_the_planned_labels(tmp_path):
    dataset = changed("rafdb")
    plan = adapter("rafdb", dataset).plan(90)
    source = adapter("rafdb", dataset).write_synthetic(90, tmp_path)
    assert sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()) == [
        LIST, "basic/Image/aligned.zip",
    ]  # fmt: skip
    taken = take("rafdb", source, tmp_path / "out", dataset)
    assert taken.rows["label"].tolist() == [number - 1 for _, number, _ in plan]
    assert all(picture.shape == (100, 100, 3) for picture in taken.images())
    assert taken.rows["path"][0] == "basic/Image/aligned.zip/aligned/train_00001_aligned.jpg"
    counts = Counter(zip(taken.rows["part"], taken.rows["label"], strict=True))
    assert min(counts.values()) >= 2 and len(counts) == 14, "every class in both parts"
    assert counts["train", 3] == max(counts.values()), "happiness is the most frequent class, as in the official data"


def test_no_synthetic_subject_is_in_two_parts_and_each_has_several_images():
    parts = {}
    for name, _, (_, subject, _) in adapter("rafdb", params.load_dataset("rafdb")).plan(400):
        parts.setdefault(subject, []).append(name.partition("_")[0])
    assert all(len(set(names)) == 1 for names in parts.values())
    assert sum(len(names) > 1 for names in parts.values()) >= len(parts) - 2
