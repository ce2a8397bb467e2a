"""VIRI and NVIE: archives of visible and infrared images become complete pairs, or an error that says what is alone."""

import re
from collections import Counter

import cv2
import numpy as np
import py7zr
import pytest
from archived_sources import packed, without_archives
from dataset_sources import FORMS, changed, image, take, unpacked, zipped

from fer import params
from fer.datasets import adapter
from fer.errors import FerError
from fer.storage import sha256

VIRI = {  # two pairs a class; the depth and the writing of the number differ
    f"VIRI-{name}-{modality}.zip/{folder}{prefix}{number:0{digits}}.JPG": image(99 * code + 4 * number + digits, ".jpg")
    for code, name in enumerate(["Angry", "Happy", "Neutral", "Sad", "Surprise"])
    for modality, folder, prefix, digits in (("Vis", f"{name}/", "", 3), ("Ir", f"a/{name} b/", "IR_", 4))
    for number in (7, 12)
}  # fmt: skip
NVIE_ARCHIVES = {
    "NVIE-disgust1-Vis.zip": (1, 2), "NVIE-disgust2-Vis.zip": (3,), "NVIE-disgust-Ir.zip": (1, 2, 3),
    "NVIE-fear-Vis.zip": (1, 2), "NVIE-fear-Ir.zip": (1, 2),
    "NVIE-happy1-Vis.7z": (1,), "NVIE-happy2-Vis.zip": (2, 3), "NVIE-happy-Ir.zip": (1, 2, 3),
}  # fmt: skip
NVIE = {
    f"{archive}/S{number % 2}/{number}.JPG": image(100 * place + number, ".jpg")
    for place, (archive, numbers) in enumerate(NVIE_ARCHIVES.items())
    for number in numbers
}
SOURCES = {"viri": VIRI, "nvie": NVIE}


def expected(name):
    """Return (label, modality, pair, hash) of every image, as its path tells."""
    rows = []
    for path, data in SOURCES[name].items():
        kind, modality = re.match(r"\w+-([A-Za-z]+)\d?-(Vis|Ir)", path).groups()
        number = int(re.search(r"(\d+)\.JPG", path)[1])
        label = params.load_dataset(name).classes.index(kind)
        modality = {"Vis": "visible", "Ir": "infrared"}[modality]
        rows.append((label, modality, f"{kind.lower()}-{number:03}", sha256(data)))
    return sorted(rows)


def seen(taken):
    rows = taken.rows.assign(sha256=[sha256(data) for data in taken.rows["image"]])
    return sorted(rows[["label", "modality", "pair", "sha256"]].itertuples(index=False, name=None))


def with_options(name, **options):
    return changed(name, options=options)


LAYOUTS = {"archives": packed, "folders": without_archives}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", SOURCES)
def test_every_layout_in_every_form_gives_the_same_images_and_complete_pairs(name, layout, form, tmp_path):
    taken = take(name, FORMS[form](tmp_path, LAYOUTS[layout](SOURCES[name])), tmp_path / "out")
    assert seen(taken) == expected(name)


def test_the_archives_of_the_repository_packed_into_one_are_read_dataset_by_dataset(tmp_path):
    files = {f"raw-data-main/{path}": data for path, data in packed(VIRI | NVIE).items()}
    source = zipped(tmp_path / "raw-data-main.zip", files)
    for name, others in (("viri", NVIE), ("nvie", VIRI)):
        taken = take(name, source, tmp_path / name)
        assert seen(taken) == expected(name)
        assert list(taken.left_out.values()) == [len(others)]


@pytest.mark.parametrize("name", SOURCES)
def test_a_pair_is_one_visible_and_one_infrared_image_and_the_visible_one_comes_first(name, tmp_path):
    rows = take(name, unpacked(tmp_path / "in", packed(SOURCES[name])), tmp_path / "out").rows
    for _, pair in rows.groupby("pair"):
        assert pair["modality"].tolist() == ["visible", "infrared"] and pair["label"].nunique() == 1


def test_the_archive_tells_the_class_whatever_the_folders_inside_are_called(tmp_path):
    files = {
        f"VIRI-Sad-{modality}.zip/Happy/1.JPG": image(place, ".jpg") for place, modality in enumerate(["Vis", "Ir"])
    }
    assert take("viri", unpacked(tmp_path / "in", packed(files)), tmp_path / "out").rows["label"].tolist() == [3, 3]


# --- what does not pair ---------------------------------------------------------------------------------------------

LONELY = {
    "VIRI-Sad-Vis.zip/Sad/099.JPG": image(99, ".jpg"),
    "VIRI-Happy-Ir.zip/portrait.JPG": image(98, ".jpg"),
}


def test_images_without_partner_are_an_error_that_lists_them_and_names_the_option(tmp_path):
    with pytest.raises(FerError) as error:
        take("viri", unpacked(tmp_path / "in", packed(VIRI | LONELY)), tmp_path / "out")
    message = str(error.value)
    assert all(path in message for path in LONELY) and "2 images have no partner" in message
    assert "options: {unpaired: leave_out}" in message
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_images_without_partner_are_left_out_and_counted_where_the_option_says_so(tmp_path):
    source, dataset = unpacked(tmp_path / "in", packed(VIRI | LONELY)), with_options("viri", unpaired="leave_out")
    taken = take("viri", source, tmp_path / "out", dataset)
    assert seen(taken) == expected("viri") and taken.left_out == {"without a partner in the other modality": 2}


def test_a_missing_archive_leaves_its_whole_class_alone(tmp_path):
    files = {path: data for path, data in VIRI.items() if not path.startswith("VIRI-Sad-Ir")}
    with pytest.raises(FerError, match=r"(?s)2 images have no partner.*VIRI-Sad-Vis\.zip/Sad/007\.JPG"):
        take("viri", unpacked(tmp_path / "in", packed(files)), tmp_path / "out")


def test_a_long_list_of_images_without_partner_is_cut(tmp_path):
    files = {f"VIRI-Sad-Vis.zip/{number}.JPG": image(1, ".jpg") for number in range(100)}
    with pytest.raises(FerError, match=r"(?s)100 images have no partner.*… and 60 more"):
        take("viri", unpacked(tmp_path / "in", packed(files)), tmp_path / "out")


def test_two_images_of_a_class_and_modality_with_the_same_number_are_an_error_that_names_both(tmp_path):
    files = VIRI | {"VIRI-Angry-Vis.zip/more/7.JPG": image(5, ".jpg")}
    message = r"Angry-Vis\.zip/Angry/007\.JPG and VIRI-Angry-Vis\.zip/more/7\.JPG are both visible angry-007"
    with pytest.raises(FerError, match=message):
        take("viri", unpacked(tmp_path / "in", packed(files)), tmp_path / "out")


def test_an_archive_beside_its_unpacked_folder_is_an_error(tmp_path):
    with pytest.raises(FerError, match=r"VIRI-Angry-Ir/.* and VIRI-Angry-Ir\.zip/.* are both infrared angry-007"):
        take("viri", unpacked(tmp_path / "in", packed(VIRI) | without_archives(VIRI)), tmp_path / "out")


def test_all_numbers_of_a_name_count_so_that_nothing_is_paired_by_chance(tmp_path):
    files = {"VIRI-Sad-Vis.zip/S1_05.JPG": image(1, ".jpg"), "VIRI-Sad-Ir.zip/S2_05.JPG": image(2, ".jpg")}
    with pytest.raises(FerError, match="2 images have no partner"):
        take("viri", unpacked(tmp_path / "in", packed(files)), tmp_path / "out")


def test_the_option_number_says_where_the_number_stands(tmp_path):
    files = {"VIRI-Sad-Vis.zip/CAM1_05.JPG": image(1, ".jpg"), "VIRI-Sad-Ir.zip/CAM2_5.JPG": image(2, ".jpg")}
    source = unpacked(tmp_path / "in", packed(files))
    taken = take("viri", source, tmp_path / "out", with_options("viri", number=r"_(\d+)$"))
    assert set(taken.rows["pair"]) == {"sad-005"}


# --- subjects -------------------------------------------------------------------------------------------------------

ANEW = {  # every subject's images are numbered from 1
    f"NVIE-fear-{modality}.zip/{subject}/{number}.JPG": image(number, ".jpg")
    for modality in ("Vis", "Ir")
    for subject in ("P01", "P02")
    for number in (1, 2)
}


def test_the_option_subject_reads_the_subject_and_numbers_count_within_it(tmp_path):
    source = unpacked(tmp_path / "in", packed(ANEW))
    with pytest.raises(FerError, match="are both infrared fear-001"):
        take("nvie", source, tmp_path / "out")
    rows = take("nvie", source, tmp_path / "out", with_options("nvie", subject=r"/(P\d+)/")).rows
    assert Counter(rows["subject"]) == {"P01": 4, "P02": 4}
    assert set(rows["pair"]) == {"fear-P01-001", "fear-P01-002", "fear-P02-001", "fear-P02-002"}


def test_a_path_without_the_subject_is_named(tmp_path):
    source = unpacked(tmp_path / "in", packed(NVIE))
    with pytest.raises(FerError, match=r"files: options\.subject, .* finds no subject in this path: .*S1/1\.JPG"):
        take("nvie", source, tmp_path / "out", with_options("nvie", subject=r"/(P\d+)/"))


@pytest.mark.parametrize("option", ["subject", "number"])
@pytest.mark.parametrize(
    ("pattern", "message"),
    [("S(\\d+", "is not a valid regular expression"), ("S\\d+", "has 0 groups"), ("(S)(1)", "has 2 groups")],
)
def test_an_expression_that_cannot_work_is_refused_before_anything_is_read(option, pattern, message):
    with pytest.raises(FerError, match=rf"options\.{option}: .*{message}"):
        adapter("nvie", with_options("nvie", **{option: pattern}))


# --- bad input ------------------------------------------------------------------------------------------------------

BAD = {
    "unknown class": ("viri", {"VIRI-Bored-Vis.zip/1.JPG": image(1)}, "unknown label 'Bored'; expected Angry, Happy"),
    "two classes": ("viri", {"VIRI-Sad-Vis/VIRI-Sad-Ir/1.JPG": image(1)}, "different classes or modalities"),
    "no image": ("viri", VIRI | {"VIRI-Sad-Vis.zip/Sad/007.JPG": b"<html>"}, r"Sad/007\.JPG.*is a web page"),
    "other folder": ("viri", {"Sad/1.JPG": image(1)}, "holds no image of VIRI.*in no archive or folder VIRI-"),
    "other dataset": ("nvie", packed(VIRI), "holds no image of NVIE"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_a_clear_error_and_leaves_nothing(case, tmp_path):
    name, files, message = BAD[case]
    with pytest.raises(FerError) as error:
        take(name, unpacked(tmp_path / "in", packed(files)), tmp_path / "out")
    assert re.search(message, str(error.value), flags=re.DOTALL), error.value
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_other_files_in_an_archive_are_left_out(tmp_path):
    files = VIRI | {"VIRI-Sad-Vis.zip/read me.txt": b"1"}
    taken = take("viri", unpacked(tmp_path / "in", packed(files)), tmp_path / "out")
    assert seen(taken) == expected("viri") and taken.left_out == {"not named as an image": 1}


# --- the synthetic source -------------------------------------------------------------------------------------------

OFFICIAL = {
    "viri": [f"VIRI-{c}-{m}.zip" for c in ("Angry", "Happy", "Neutral", "Sad", "Surprise") for m in ("Ir", "Vis")],
    "nvie": sorted(NVIE_ARCHIVES),
}


@pytest.mark.parametrize("name", SOURCES)
def test_the_synthetic_source_has_the_official_archives_and_complete_pairs_in_register(name, tmp_path):
    reader = adapter(name, params.load_dataset(name))
    (tmp_path / "in").mkdir()
    source = reader.write_synthetic(60, tmp_path / "in")
    assert sorted(path.name for path in source.iterdir()) == OFFICIAL[name]
    taken = take(name, source, tmp_path / "out")
    assert len(taken.rows) == 60 and taken.rows["pair"].nunique() == 30
    assert Counter(taken.rows["label"]) == {label: 60 // len(reader.classes) for label in range(len(reader.classes))}
    images = dict(zip(zip(taken.rows["pair"], taken.rows["modality"], strict=True), taken.images(), strict=True))
    for pair in set(taken.rows["pair"]):
        visible, infrared = images[pair, "visible"], images[pair, "infrared"]
        assert visible.shape == (192, 192, 3) and infrared.shape == (192, 192)
        warm = infrared > 100  # the head, which stands out from the cool ground
        edges = cv2.Canny(cv2.GaussianBlur(visible, (5, 5), 0), 60, 120) > 0
        outline = cv2.morphologyEx(warm.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((7, 7))) > 0
        assert edges[outline].mean() > edges[~warm & ~outline].mean(), pair


def test_every_synthetic_subject_shows_every_class_twice_and_its_folder_tells_who_it_is(tmp_path):
    dataset = with_options("nvie", subject=r"/S(\d+)/")
    rows = take("nvie", adapter("nvie", dataset).write_synthetic(48, tmp_path), tmp_path / "out", dataset).rows
    assert set(Counter(zip(rows["subject"], rows["label"], strict=True)).values()) == {4}, "two pairs"


def test_one_synthetic_archive_is_a_7z_file(tmp_path):
    adapter("nvie", params.load_dataset("nvie")).write_synthetic(12, tmp_path)
    with py7zr.SevenZipFile(tmp_path / "NVIE-happy1-Vis.7z") as archive:
        assert archive.getnames() == ["happy1/S001/001.JPG"]
