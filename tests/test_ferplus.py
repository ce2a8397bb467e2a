"""FER+ reads FER2013's table and the votes beside it row by row, and refuses whatever would break that order."""

import csv
import re
import tarfile
from collections import Counter

import numpy as np
import pytest
from dataset_sources import changed, take, unpacked, zipped
from fer2013_sources import samples, write_csv, write_folders, write_tar

from fer import params
from fer.datasets import adapter
from fer.errors import FerError

COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
HEADER = "Usage,Image name," + ",".join(COLUMNS)
PARTS = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}


def votes():
    """Return (usage, ten counts) of 42 rows: clear votes for every column in turn, with ties in rows 40 and 41."""
    counts = np.random.default_rng(1).multinomial(3, [0.1] * 10, 42)
    counts[np.arange(42), np.arange(42) % 10] += 7
    counts[40] = [0, 4, 2, 4, 0, 0, 0, 0, 0, 0]  # happiness, the first of equals
    counts[41] = [0, 0, 0, 0, 0, 0, 5, 0, 5, 0]  # fear, not unknown
    return [(usage, row.tolist()) for (_, usage, _), row in zip(samples(), counts, strict=True)]


def lines():
    names = (f"fer{row:07}.png" for row in range(42))
    return [HEADER, *(",".join([usage, next(names), *map(str, row)]) for usage, row in votes())]


def write_votes(folder, content=None):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fer2013new.csv").write_text("\n".join(content or lines()) + "\n")
    return folder


def expected():
    """Return {row: (label, part, shares)} of the images that are kept."""
    rows = {}
    for row, (usage, counts) in enumerate(votes()):
        label = int(np.argmax(counts))
        if label < 8:
            shares = np.array(counts[:8]) / sum(counts[:8])
            rows[row] = (label, PARTS[usage], pytest.approx(shares.tolist()))
    return rows


def seen(taken):
    numbers = [int(path.rpartition("#")[2]) for path in taken.rows["path"]]
    values = zip(taken.rows["label"], taken.rows["part"], map(list, taken.rows["votes"]), strict=True)
    return dict(zip(numbers, values, strict=True))


def csv_in_a_folder(folder):
    write_csv(write_votes(folder / "in") / "fer2013.csv")
    return folder / "in"


def tar_in_a_folder(folder):
    write_tar(write_votes(folder / "in") / "fer2013.tar.gz")
    return folder / "in"


def both_packed(folder):
    files = {path.name: path.read_bytes() for path in tar_in_a_folder(folder).iterdir()}
    return zipped(folder / "both.zip", {f"a/{name}": data for name, data in files.items()})


def tar_with_both(folder):
    inside = csv_in_a_folder(folder)
    with tarfile.open(folder / "fer2013.tar.gz", "w:gz") as archive:
        for path in inside.iterdir():
            archive.add(path, f"fer2013/{path.name}")
    return folder / "fer2013.tar.gz"


def upper_case(folder):
    source = csv_in_a_folder(folder)
    for path in list(source.iterdir()):
        path.rename(path.with_name(path.name.upper()))
    return source


def other_order_of_columns(folder):
    write_csv(write_votes(folder / "in/labels").parent / "deep/icml_face_data.csv", "emotion, Usage, pixels")
    return folder / "in"


LAYOUTS = {
    "table in a folder": csv_in_a_folder,
    "archive in a folder": tar_in_a_folder,
    "the table itself": lambda folder: csv_in_a_folder(folder) / "fer2013.csv",
    "the archive itself": lambda folder: tar_in_a_folder(folder) / "fer2013.tar.gz",
    "archive with both": tar_with_both,
    "archive of archives": both_packed,
    "upper case": upper_case,
    "the other table, in folders": other_order_of_columns,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_label_with_the_most_votes_the_part_and_the_shares(layout, tmp_path):
    assert seen(take("ferplus", LAYOUTS[layout](tmp_path), tmp_path / "out")) == expected()


def test_every_image_keeps_its_own_pixels(tmp_path):
    taken = take("ferplus", csv_in_a_folder(tmp_path), tmp_path / "out")
    for row, picture in zip(expected(), taken.images(), strict=True):
        assert (picture == samples()[row][2]).all()


def test_images_that_are_unknown_or_no_face_to_most_are_left_out_and_counted(tmp_path):
    taken = take("ferplus", csv_in_a_folder(tmp_path), tmp_path / "out")
    assert taken.left_out == {"most votes are for unknown": 4, "most votes are for NF (not a face)": 4}
    assert len(taken.rows) == 34


def test_the_counts_of_a_class_are_those_of_the_votes_file(tmp_path):
    source = csv_in_a_folder(tmp_path)
    with open(source / "fer2013new.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    most = [(PARTS[row["Usage"]], max(COLUMNS, key=lambda name: int(row[name]))) for row in rows]
    classes = params.load_dataset("ferplus").classes
    taken = take("ferplus", source, tmp_path / "out")
    found = Counter(zip(taken.rows["part"], (classes[label] for label in taken.rows["label"]), strict=True))
    assert found == Counter(item for item in most if item[1] in classes)


def test_official_counts_and_what_is_left_out_add_up_to_fer2013():
    counts = {part: sum(numbers) for part, numbers in params.load_dataset("ferplus").official_counts.items()}
    left_out = {"train": 170 + 150, "val": 25 + 11, "test": 27 + 16}
    assert {part: counts[part] + left_out[part] for part in counts} == {"train": 28709, "val": 3589, "test": 3589}


# --- bad input ------------------------------------------------------------------------------------------------------


def with_votes(change):
    """Return a writer of a source whose lines of votes (the header is the first) are changed."""

    def write(folder):
        source = csv_in_a_folder(folder)
        write_votes(source, change(lines()))
        return source

    return write


def line(number, change):
    return with_votes(lambda text: [change(item) if place == number else item for place, item in enumerate(text, 1)])


def folder_form(folder):
    write_folders(write_votes(folder / "in"))
    return folder / "in"


def no_votes(folder):
    source = csv_in_a_folder(folder)
    (source / "fer2013new.csv").unlink()
    return source


def two_votes(folder):
    write_votes(csv_in_a_folder(folder) / "copy")
    return folder / "in"


def training_images_alone(folder):
    write_csv(write_votes(folder / "in") / "train.csv", "emotion,pixels", only=("Training",))
    return folder / "in"


def utf16(folder):
    source = csv_in_a_folder(folder)
    (source / "fer2013new.csv").write_bytes("\n".join(lines()).encode("utf-16"))
    return source


BAD = {
    "folder form": (folder_form, r"holds no table of pixels \(fer2013\.csv.*follow the table's order of rows"),
    "no votes": (no_votes, r"no fer2013new\.csv; expected one beside FER2013's table: .*microsoft/FERPlus"),
    "two tables of votes": (two_votes, r"2 tables of votes \(copy/fer2013new\.csv, fer2013new\.csv\)"),
    "fewer votes": (with_votes(lambda text: text[:-2]), r"fer2013new\.csv ends after 40 rows, FER2013's table has 42"),
    "more votes": (with_votes(lambda text: [*text, *text[-3:]]), r"table ends after 42 rows, fer2013new\.csv has 45"),
    "training images alone": (training_images_alone, "row 7 is 'Training' in .*but 'PublicTest' in fer2013new"),
    "another order": (with_votes(lambda text: [text[0], *text[:0:-1]]), "row 0 is 'Training' in .* but 'PrivateTest'"),
    "other usage": (line(7, lambda row: row.replace("Training", "Test")), "row 5 is 'Training' .* but 'Test'"),
    "missing value": (line(7, lambda row: row[:-2]), r"row 5 \(line 7\): 11 values for 12 columns"),
    "no number": (line(7, lambda row: row[:-1] + "x"), r"row 5 \(line 7\): votes .*x; expected whole numbers"),
    "negative": (line(7, lambda row: row[:-1] + "-1"), r"row 5 \(line 7\): votes .*-1; expected whole numbers"),
    "no votes in a row": (line(7, lambda row: "Training,a" + ",0" * 10), r"row 5 .line 7.: votes .*not all of them 0"),
    "other columns": (line(1, lambda row: row.replace("NF", "noface")), "its columns are .*, noface; expected Usage"),
    "no header": (with_votes(lambda text: text[1:]), r"fer2013new\.csv: its columns are Training, .*expected Usage"),
    "other encoding": (utf16, r"fer2013new\.csv is not a valid CSV file in UTF-8"),
    "nothing": (lambda folder: unpacked(folder / "in", {"notes.txt": b"mine"}), "holds no table of pixels"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_a_clear_error_and_leaves_nothing(name, tmp_path):
    make, message = BAD[name]
    with pytest.raises(FerError) as error:
        take("ferplus", make(tmp_path), tmp_path / "out")
    assert re.search(message, str(error.value), flags=re.DOTALL), error.value
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_code_that_fer2013_does_not_have_is_refused_though_fer_plus_has_one_class_more(tmp_path):
    source = csv_in_a_folder(tmp_path)
    table = source / "fer2013.csv"
    text = table.read_text().splitlines()
    table.write_text("\n".join([text[0], re.sub(r"^\d", "7", text[1]), *text[2:]]))
    with pytest.raises(FerError, match="unknown label '7'; expected 0 to 6"):
        take("ferplus", source, tmp_path / "out")


# --- the synthetic source -------------------------------------------------------------------------------------------


def test_the_synthetic_source_is_fer2013_s_archive_with_votes_and_gives_the_planned_labels(tmp_path):
    dataset = changed("ferplus")
    reader = adapter("ferplus", dataset)
    source = reader.write_synthetic(80, tmp_path)
    assert source.name == "fer2013.tar.gz" and (tmp_path / "fer2013new.csv").read_text().splitlines()[0] == HEADER
    taken = take("ferplus", source, tmp_path / "out", dataset)
    planned = [(column, PARTS[usage]) for column, usage in reader.intended(80) if column in dataset.classes]
    rows = zip((dataset.classes[label] for label in taken.rows["label"]), taken.rows["part"], strict=True)
    assert list(rows) == planned
    assert taken.left_out == {"most votes are for unknown": 3, "most votes are for NF (not a face)": 3}
    assert len(set(planned)) == 24, "every class in every part, contempt too"


def test_every_synthetic_row_has_ten_votes_that_rarely_all_agree(tmp_path):
    adapter("ferplus", params.load_dataset("ferplus")).write_synthetic(80, tmp_path)
    with open(tmp_path / "fer2013new.csv", newline="") as handle:
        counts = [[int(row[name]) for name in COLUMNS] for row in csv.DictReader(handle)]
    assert {sum(row) for row in counts} == {10} and np.mean([max(row) == 10 for row in counts]) < 0.3


def test_no_synthetic_subject_is_in_two_parts():
    parts = {}
    for _, (_, subject, _), usage in adapter("ferplus", params.load_dataset("ferplus")).plan(400):
        parts.setdefault(subject, set()).add(usage)
    assert all(len(usages) == 1 for usages in parts.values())
