"""FER2013 in all its layouts gives the same images, labels and parts; whatever is wrong with it gets a clear error."""

import gzip
import io
import re
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections import Counter

import cv2
import numpy as np
import pandas as pd
import pytest
from fer2013_sources import numbers, samples, write_csv, write_folders, write_tar, write_zip

from fer import params
from fer.datasets import adapter
from fer.errors import FerError
from fer.faces import crops
from fer.layout import Layout
from fer.stages.acquire import acquire
from fer.stages.align import align
from fer.stages.index import index
from fer.stages.split import split
from fer.storage import read_json, sha256

LAYOUTS = {
    "tar": lambda folder: write_tar(folder / "fer2013.tar.gz"),
    "csv": lambda folder: write_csv(folder / "fer2013.csv"),
    "icml": lambda folder: write_csv(folder / "icml_face_data.csv", "emotion, Usage, pixels"),
    "folders": lambda folder: write_folders(folder / "images"),
    "upper case": lambda folder: write_folders(folder / "images", ".PNG"),
    "zip": lambda folder: write_zip(folder / "archive.zip"),
}


def parameters(**alignment):
    """Return those of FER2013, for sources with some of the classes, too."""
    loaded = params.load_dataset("fer2013")
    changes = {"alignment": loaded.alignment.model_copy(update=alignment), "allow_empty_classes": True}
    return loaded.model_copy(update=changes)


def take(source, root, dataset=None):
    """Acquire and index a source; return its layout of artifacts."""
    layout, dataset = Layout(root), dataset or parameters()
    acquire(adapter("fer2013", dataset), str(source), 1, layout.raw("fer2013"))
    files = (layout.raw("fer2013"), layout.index("fer2013"), layout.counts("fer2013"))
    index(adapter("fer2013", dataset), *files)
    return layout


def find_faces(layout):
    outputs = (layout.faces("fer2013"), layout.crops("fer2013"), layout.faces_counts("fer2013"))
    return align(layout.raw("fer2013"), layout.index("fer2013"), parameters(), *outputs)


def contents(layout):
    """Count (pixels, label, part) of every sample."""
    raw, table = pd.read_parquet(layout.raw("fer2013")), pd.read_parquet(layout.index("fer2013"))
    images = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) for data in raw["image"]]
    return Counter(zip([image.tobytes() for image in images], table["label"], table["part"], strict=True))


EXPECTED = Counter(
    (image.tobytes(), code, {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}[usage])
    for code, usage, image in samples()
)


@pytest.mark.parametrize("form", LAYOUTS)
def test_every_layout_gives_the_same_images_labels_and_parts(form, tmp_path):
    assert contents(take(LAYOUTS[form](tmp_path), tmp_path / "out")) == EXPECTED


def test_train_csv_holds_the_training_images_alone_and_split_says_what_is_missing(tmp_path):
    source = write_csv(tmp_path / "train.csv", "emotion,pixels", only=("Training",))
    layout = take(source, tmp_path / "out")
    assert set(pd.read_parquet(layout.index("fer2013"))["part"]) == {"train"}
    find_faces(layout)
    inputs = [make("fer2013") for make in (layout.raw, layout.index, layout.faces, layout.crops)]
    targets = (layout.split, layout.audit, layout.audit_page, layout.refused_page)
    outputs = [make("fer2013", "official") for make in targets]
    with pytest.raises(FerError, match="no samples for val, test"):
        split(*inputs, parameters(), "official", 0, *outputs)
    assert not any(path.exists() for path in outputs)


def test_of_several_official_tables_in_a_folder_the_one_with_everything_is_read(tmp_path):
    write_csv(tmp_path / "in/train.csv", "emotion,pixels", only=("Training",))
    write_csv(tmp_path / "in/icml_face_data.csv", "emotion, Usage, pixels", only=("PublicTest",))
    write_csv(tmp_path / "in/fer2013/fer2013.csv")
    assert contents(take(tmp_path / "in", tmp_path / "out")) == EXPECTED


def test_the_unpacked_download_with_the_archive_inside_is_read(tmp_path):
    (tmp_path / "in").mkdir()
    write_tar(tmp_path / "in/fer2013.tar.gz")
    (tmp_path / "in/rules.txt").write_text("of the competition")
    assert contents(take(tmp_path / "in", tmp_path / "out")) == EXPECTED


def test_clutter_is_ignored_and_other_files_are_counted_as_left_out(tmp_path):
    source = write_folders(tmp_path / "in")
    for name in (
        ".DS_Store",
        "train/angry/Thumbs.db",
        "__MACOSX/train/angry/Training_1.png",
        "train/angry/._Training_0.png",
    ):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(b"clutter")
    (source / "notes.txt").write_text("mine")
    reader = adapter("fer2013", parameters())
    line = acquire(reader, str(source), 1, tmp_path / "raw.parquet")
    assert reader.left_out == {"not an image of the folder form": ["notes.txt"]}
    assert line == "42 originals; left out: not an image of the folder form: 1, such as notes.txt"


def test_raw_keeps_every_byte_and_its_hash(tmp_path):
    source = write_folders(tmp_path / "in")
    raw = pd.read_parquet(take(source, tmp_path / "out").raw("fer2013"))
    for row in raw.itertuples():
        assert row.image == (source / row.path).read_bytes() and row.sha256 == sha256(row.image)


def test_a_stage_s_artifact_is_the_same_to_the_bit_whenever_it_is_made(tmp_path):
    source = write_csv(tmp_path / "fer2013.csv")
    first, again = take(source, tmp_path / "a"), take(source, tmp_path / "b")
    for name in ("raw", "index", "counts"):
        assert getattr(first, name)("fer2013").read_bytes() == getattr(again, name)("fer2013").read_bytes()


def test_counts_stand_beside_the_official_ones_class_by_class(tmp_path):
    counts = read_json(take(write_csv(tmp_path / "fer2013.csv"), tmp_path / "out").counts("fer2013"))
    assert counts["found"] == {"train": [2] * 7, "val": [2] * 7, "test": [2] * 7}
    assert counts["official"]["train"] == [3995, 436, 4097, 7215, 4830, 3171, 4965]
    assert {part: sum(values) for part, values in counts["official"].items()} == {
        "train": 28709, "val": 3589, "test": 3589,
    }  # fmt: skip


def test_synthetic_faces_come_in_the_official_layout_and_proportions(tmp_path):
    reader = adapter("fer2013", parameters())
    source = reader.write_synthetic(100, tmp_path)
    with tarfile.open(source) as archive:
        assert archive.getnames() == ["fer2013/fer2013.csv"]
    table = pd.read_csv(tmp_path / "fer2013.csv")
    assert list(table.columns) == ["emotion", "pixels", "Usage"]
    assert (table.groupby(["Usage", "emotion"]).size().unstack() >= 2).all(axis=None)
    assert table["emotion"].mode()[0] == 3, "happy is the most frequent class, as in the official data"


def test_no_synthetic_subject_is_in_two_parts():
    plan = adapter("fer2013", parameters()).plan(500)
    parts_of_subject = {}
    for _, (_, subject, _), usage in plan:
        parts_of_subject.setdefault(subject, set()).add(usage)
    assert all(len(parts) == 1 for parts in parts_of_subject.values())


# --- bad input ------------------------------------------------------------------------------------------------------


def changed_csv(change):
    """Return a writer of a table whose row 5 (line 7) is changed."""

    def write(folder):
        path = write_csv(folder / "fer2013.csv")
        lines = path.read_text().splitlines()
        lines[6] = change(*lines[6].split(","))
        path.write_text("\n".join(lines))
        return path

    return write


def truncated(folder):
    path = write_tar(folder / "fer2013.tar.gz")
    path.write_bytes(path.read_bytes()[:-5000])
    return path


def broken_zip(folder):
    path = write_zip(folder / "a.zip")
    path.write_bytes(path.read_bytes()[:-50])
    return path


def made(name, data):
    def write(folder):
        path = write_folders(folder / "in") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return folder / "in"

    return write


def twice_in_zip(folder):
    path = write_zip(folder / "a.zip")
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("archive/train/angry/Training_0.png", archive.read("archive/train/angry/Training_0.png"))
    return path


def empty_zip(folder):
    zipfile.ZipFile(folder / "a.zip", "w").close()
    return folder / "a.zip"


def text_file(name, text):
    def write(folder):
        (folder / name).write_text(text)
        return folder / name

    return write


def empty_folder(folder):
    (folder / "empty").mkdir()
    return folder / "empty"


PNG = cv2.imencode(".png", np.zeros((48, 48), np.uint8))[1].tobytes()
BAD = {
    "missing": (lambda folder: folder / "none.tar.gz", r"none\.tar\.gz does not exist.*Kaggle.*--source synthetic"),
    "truncated archive": (truncated, r"fer2013\.tar\.gz is truncated or damaged"),
    "damaged zip": (broken_zip, r"a\.zip is truncated or damaged"),
    "not an archive": (text_file("fer2013.tar.gz", "not one"), r"fer2013\.tar\.gz is truncated or damaged"),
    "short row": (changed_csv(lambda e, p, u: f"{e},{p[:-9]},{u}"), r"row 5 \(line 7\): 230\d pixels, expected 2304"),
    "over 255": (changed_csv(lambda e, p, u: f"{e},256{p[p.index(' ') :]},{u}"), r"row 5 \(line 7\).*to 256"),
    "negative": (changed_csv(lambda e, p, u: f"{e},-1{p[p.index(' ') :]},{u}"), r"row 5 \(line 7\).*from -1"),
    "no number": (changed_csv(lambda e, p, u: f"{e},x{p[p.index(' ') :]},{u}"), r"row 5.*whole numbers"),
    "unknown label": (changed_csv(lambda e, p, u: f"7,{p},{u}"), r"row 5.*unknown label '7'; expected 0 to 6"),
    "named label": (changed_csv(lambda e, p, u: f"angry,{p},{u}"), r"row 5.*unknown label 'angry'"),
    "unknown usage": (changed_csv(lambda e, p, u: f"{e},{p},Test"), r"row 5.*unknown Usage 'Test'.*PublicTest"),
    "missing value": (changed_csv(lambda e, p, u: f"{e},{p}"), r"row 5.*2 values for 3 columns"),
    "wrong columns": (text_file("fer2013.csv", "label,image\n0,0"), "its columns are label, image; expected emotion"),
    "empty table": (text_file("fer2013.csv", ""), "has no rows: the file is empty"),
    "header alone": (text_file("fer2013.csv", "emotion,pixels,Usage\n"), "has no rows: there is only its header"),
    "empty folder": (empty_folder, "holds no image of FER2013. Expected: Kaggle"),
    "empty zip": (empty_zip, "holds no image of FER2013"),
    "other dataset": (text_file("notes.txt", "hello"), r"holds no image.*Left out, not an image of.*: notes\.txt"),
    "no image": (
        made("train/angry/Training_99.png", b"any text"),
        r"Training_99\.png: this is not an image.*starts with",
    ),
    "empty file": (made("train/angry/Training_99.png", b""), r"Training_99\.png: the file is empty"),
    "unknown class": (made("train/angrry/Training_99.png", PNG), r"unknown label 'angrry'; expected angry, disgust"),
    "unknown part": (made("train/angry/Private_99.png", PNG), "unknown Usage 'Private'"),
    "two classes": (made("train/fear/Training_0.png", PNG), "are the same image Training_0"),
    "twice in an archive": (twice_in_zip, r"archive/train/angry/Training_0\.png"),
    "binary table": (text_file("fer2013.csv", "emotion,pixels,Usage\n0,\x00,Training\n"), r"fer2013\.csv"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_a_clear_error_and_leaves_nothing(name, tmp_path):
    make, message = BAD[name]
    with pytest.raises(FerError) as error:
        take(make(tmp_path), tmp_path / "out")
    assert re.search(message, str(error.value), flags=re.DOTALL), error.value
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_bad_input_on_the_command_line_is_an_error_without_a_traceback(tmp_path):
    source = BAD["short row"][0](tmp_path)
    command = [sys.executable, "-m", "fer", "acquire", "fer2013", "--source", str(source), "--root", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2 and result.stderr.startswith("error: ") and "Traceback" not in result.stderr


def test_a_truncated_image_is_found_before_anything_is_written_and_named(tmp_path):
    noise = cv2.imencode(".png", samples()[0][2])[1].tobytes()
    with pytest.raises(FerError, match=r"Training_99\.png: cannot be decoded"):
        take(made("train/angry/Training_99.png", noise[:900])(tmp_path), tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_blank_image_is_kept_counted_and_reported(tmp_path):
    layout = take(made("train/angry/Training_99.png", PNG)(tmp_path), tmp_path / "out")
    line = find_faces(layout)
    faces = pd.read_parquet(layout.faces("fer2013"))
    assert "1 blank image" in line and len(faces) == 43 and faces["blank"].sum() == 1 and faces["used"].all()


def test_a_table_in_a_tar_without_compression_is_read_too(tmp_path):
    table = write_csv(tmp_path / "fer2013.csv").read_bytes()
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        entry = tarfile.TarInfo("deep/er/fer2013.csv")
        entry.size = len(table)
        archive.addfile(entry, io.BytesIO(table))
    assert contents(take(tmp_path / "x.tar", tmp_path / "out")) == EXPECTED


def test_numbers_of_the_table_are_the_pixels_row_by_row():
    image = samples()[0][2]
    assert numbers(image).split()[48] == str(image[1, 0])


def test_the_whole_archive_is_read_rather_than_the_training_images_beside_it(tmp_path):
    (tmp_path / "in").mkdir()
    write_tar(tmp_path / "in/fer2013.tar.gz")
    write_csv(tmp_path / "in/train.csv", "emotion,pixels", only=("Training",))
    assert contents(take(tmp_path / "in", tmp_path / "out")) == EXPECTED


@pytest.mark.parametrize("ending", [".jpg", ".JPEG", ".bmp", ".tif", ".webp"])
def test_the_folder_form_may_hold_images_of_other_formats(tmp_path, ending):
    layout = take(write_folders(tmp_path / "in", ending), tmp_path / "out")
    table = pd.read_parquet(layout.index("fer2013"))
    assert Counter(zip(table["label"], table["part"], strict=True)) == Counter(
        {(label, part): 2 for label in range(7) for part in ("train", "val", "test")}
    )


@pytest.mark.parametrize("synonym", ["Happy", "happiness", "joy"])
def test_a_class_folder_may_bear_a_synonym(tmp_path, synonym):
    source = made(f"train/{synonym}/Training_99.png", PNG)(tmp_path)
    table = pd.read_parquet(take(source, tmp_path / "out").index("fer2013")).set_index("path")
    assert table.loc[f"train/{synonym}/Training_99.png", "label"] == 3


def test_index_says_how_far_the_source_is_from_the_official_counts(tmp_path):
    source, dataset = write_csv(tmp_path / "fer2013.csv"), parameters()
    twos = {part: [2] * 7 for part in ("train", "val", "test")} | {"test": [2] * 6 + [5]}
    dataset = dataset.model_copy(update={"official_counts": twos})
    layout = take(source, tmp_path / "out", dataset)
    files = (layout.raw("fer2013"), layout.index("fer2013"), layout.counts("fer2013"))
    line = index(adapter("fer2013", dataset), *files)
    assert line == "42 samples (train 14: as official; val 14: as official; test 14: official 17, -3)"


def test_a_class_without_an_image_is_refused_with_the_counts_and_the_key_that_goes_on(tmp_path):
    source = write_csv(tmp_path / "fer2013.csv")
    header, *lines = source.read_text().splitlines()
    source.write_text("\n".join([header, *(line for line in lines if line[0] not in "14")]))
    strict = params.load_dataset("fer2013")
    with pytest.raises(
        FerError, match=r"fer2013\.parquet: no image of disgust, sad\. Images found: angry 6, disgust 0, "
    ):
        take(source, tmp_path / "out", strict)
    layout = Layout(tmp_path / "out")
    assert not layout.index("fer2013").exists() and not layout.counts("fer2013").exists()
    files = (layout.raw("fer2013"), layout.index("fer2013"), layout.counts("fer2013"))
    assert "no image of disgust, sad" in index(adapter("fer2013", parameters()), *files)


def test_a_copy_with_fewer_images_than_the_official_one_goes_on(tmp_path):
    take(write_csv(tmp_path / "fer2013.csv", only=["Training"]), tmp_path / "out", params.load_dataset("fer2013"))


# --- damage that only shows at the end, and what other programs make of a table -------------------------------------


def tar_of(path, compression):
    table = write_csv(path.parent / "table.csv")
    with tarfile.open(path, f"w:{compression}") as archive:
        archive.add(table, "fer2013/fer2013.csv")
    table.unlink()
    return path


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("missing", [1, 5, 2000])
def test_an_archive_whose_last_bytes_are_missing_is_not_taken_for_whole(tmp_path, compression, missing):
    source = tar_of(tmp_path / f"x.tar.{compression}", compression)
    source.write_bytes(source.read_bytes()[:-missing])
    with pytest.raises(FerError, match=rf"x\.tar\.{compression} is truncated or damaged"):
        take(source, tmp_path / "out")
    assert not Layout(tmp_path / "out").raw("fer2013").exists()


def test_a_single_wrong_pixel_in_a_damaged_archive_is_found_by_its_checksum(tmp_path):
    whole = gzip.decompress(tar_of(tmp_path / "whole.tar.gz", "gz").read_bytes())
    packed = bytearray(gzip.compress(whole, 0))  # stored: a digit can be changed without breaking the format
    place = packed.index(b",Training\n") - 1
    packed[place] = ord("1") if packed[place] == ord("0") else ord("0")
    (tmp_path / "fer2013.tar.gz").write_bytes(packed)
    with pytest.raises(FerError, match=r"fer2013\.tar\.gz is truncated or damaged \(CRC check failed"):
        take(tmp_path / "fer2013.tar.gz", tmp_path / "out")


def changed_entries(offsets, value):
    """Return a writer of a zip archive in which a byte of every entry's two headers is changed."""

    def write(folder):
        path = write_zip(folder / "a.zip")
        data = bytearray(path.read_bytes())
        for signature, offset in zip((b"PK\3\4", b"PK\1\2"), offsets, strict=True):
            for found in re.finditer(re.escape(signature), bytes(data)):
                data[found.start() + offset] = value
        path.write_bytes(data)
        return path

    return write


def rewritten(change):
    """Return a writer of a table whose bytes are changed."""

    def write(folder):
        path = write_csv(folder / "fer2013.csv")
        path.write_bytes(change(path.read_bytes()))
        return path

    return write


UNREADABLE = {
    "encrypted zip": (changed_entries((6, 8), 1), r"42 files: encrypted; .*a\.zip: '.*Training_0\.png'"),
    "zip packed in an unknown way": (changed_entries((8, 10), 99), r"a\.zip cannot be unpacked"),
    "other encoding": (
        rewritten(lambda data: data.decode().encode("utf-16")),
        r"fer2013\.csv is not a valid CSV.*UTF-8",
    ),
    "stray byte": (
        rewritten(lambda data: data[:9000] + b"\xff" + data[9000:]),
        r"fer2013\.csv is not a valid CSV.*0xff",
    ),
    "open quote": (
        rewritten(lambda data: data.replace(b"\n0,", b'\n0,"', 1)),
        r"fer2013\.csv is not a valid CSV.*limit",
    ),
    "semicolons": (rewritten(lambda data: data.replace(b",", b";")), "separated by semicolons.*expected commas"),
    "cut at a comma": (rewritten(lambda data: data[: data.rindex(b",")]), "row 41 .*2 values for 3 columns"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_unpacked_or_read_as_a_table_gets_a_clear_error_and_leaves_nothing(name, tmp_path):
    make, message = UNREADABLE[name]
    with pytest.raises(FerError) as error:
        take(make(tmp_path), tmp_path / "out")
    assert re.search(message, str(error.value), flags=re.DOTALL), error.value
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_line_endings_of_windows_change_nothing(tmp_path):
    source = rewritten(lambda data: data.replace(b"\n", b"\r\n"))(tmp_path)
    assert contents(take(source, tmp_path / "out")) == EXPECTED


@pytest.mark.parametrize("ending", [".png", ".jpg"])
@pytest.mark.parametrize("cut", [30, 200, 0.5])
def test_an_image_cut_anywhere_is_not_decoded_into_half_a_face(ending, cut):
    data = cv2.imencode(ending, samples()[0][2])[1].tobytes()
    cut = int(len(data) * cut) if cut < 1 else cut
    with pytest.raises(FerError, match=r"a/b\.img cannot be decoded"):
        crops.decode(data[:-cut], 1, "a/b.img")


@pytest.mark.parametrize("name", ["missing", "truncated archive", "header alone", "empty zip", "two classes"])
def test_the_command_answers_bad_input_with_status_2_and_no_traceback(name, tmp_path):
    command = ["acquire", "fer2013", "--source", str(BAD[name][0](tmp_path)), "--root", str(tmp_path / "out")]
    result = subprocess.run([sys.executable, "-m", "fer", *command], capture_output=True, text=True)
    assert result.returncode == 2 and result.stderr.startswith("error: ") and "Traceback" not in result.stderr
    assert re.search(BAD[name][1], result.stderr, flags=re.DOTALL) and not result.stdout
