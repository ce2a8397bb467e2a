"""Images, archives, tables and names as people have them: read, or refused by an error that names all of a kind."""

import bz2
import gzip
import io
import itertools
import re
import shlex
import string
import subprocess
import sys
import tarfile
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from dataset_sources import changed, image, take, unpacked
from fer2013_sources import folder_files, write_csv
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from test_folders import FLAT, FLAT_EXPECTED, PARTED, PARTED_EXPECTED, parameters, read
from test_rafdb import EXPECTED, FOLDERS, seen

from fer import params
from fer.errors import FerError
from fer.faces import crops, landmarks

PHOTO = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), (0, 0), 9)
PHOTO = cv2.normalize(PHOTO, None, 0, 255, cv2.NORM_MINMAX)
STORED = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # EXIF orientation → Pillow's transposition of the rows as stored


def encoded(kind, picture=PHOTO, **options):
    data = io.BytesIO()
    Image.fromarray(picture).save(data, kind, **options)
    return data.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_images_stand_upright_whatever_orientation_their_exif_says(kind):
    for orientation, transposed in STORED.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = np.asarray(Image.fromarray(PHOTO).transpose(Image.Transpose(transposed)))
        shown = crops.decode(encoded(kind, stored, exif=exif), 3, kind)
        assert shown.shape == PHOTO.shape and np.abs(shown.astype(int) - PHOTO).mean() < 8, orientation


def test_a_large_photograph_is_reduced_and_its_landmarks_lie_in_the_reduced_image():
    large = crops.decode(cv2.imencode(".jpg", np.zeros((4000, 9000), np.uint8))[1].tobytes(), 1, "photo")
    assert large.size <= crops.LARGEST * 1.01 and large.shape[1] / large.shape[0] == pytest.approx(
        9000 / 4000, rel=0.01
    )


def test_no_copy_for_the_detector_is_enlarged_beyond_the_limit(monkeypatch):
    sizes = []
    monkeypatch.setattr(landmarks, "LARGEST", 40_000)
    monkeypatch.setattr(landmarks, "detector", lambda kind: lambda image: sizes.append(image.size) or [])
    assert landmarks.find(np.zeros((150, 200), np.uint8), [1, 2, 4]) is None
    assert len(sizes) == 2 and max(sizes) <= 41_000


def test_images_with_other_endings_than_their_bytes_and_of_rarer_formats_are_read(tmp_path):
    kinds = {"a.jfif": "JPEG", "b.ppm": "PPM", "c.jp2": "JPEG2000", "d.gif": "GIF", "e.jpg": "GIF", "f.png": "WEBP"}
    files = FLAT | {f"happy/{name}": encoded(kind) for name, kind in kinds.items()}
    files["happy/g.gif"] = encoded("GIF", save_all=True, append_images=[Image.fromarray(PHOTO[::-1].copy())])
    taken = read(unpacked(tmp_path / "in", files), tmp_path / "out")
    assert len(taken.rows) == len(FLAT) + 7 and not taken.left_out


UNREADABLE = {
    "happy/empty.jpg": b"",
    "happy/phone.heic": b"\0\0\0\x18ftypheic" + bytes(40),
    "angry/cut.png": encoded("PNG")[:400],
    "angry/page.png": b"<html>",
    "angry/pointer.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    "angry/cut2.png": encoded("PNG")[:300],
}


def test_all_files_that_cannot_be_read_are_named_at_once_or_left_out_by_the_option(tmp_path):
    source = unpacked(tmp_path / "in", FLAT | UNREADABLE)
    with pytest.raises(FerError) as error:
        read(source, tmp_path / "a")
    assert all(path in str(error.value) for path in UNREADABLE) and "unreadable: leave_out" in str(error.value)
    assert "git lfs pull" in str(error.value) and "is a web page" in str(error.value)
    taken = read(source, tmp_path / "b", unreadable="leave_out")
    assert taken.seen("image", "label", "part") == FLAT_EXPECTED and sum(taken.left_out.values()) == len(UNREADABLE)


def test_a_tar_without_an_ending_and_tables_packed_alone_are_read(tmp_path):
    table = write_csv(tmp_path / "fer2013.csv").read_bytes()
    with tarfile.open(tmp_path / "packed", "w") as archive:
        archive.add(tmp_path / "fer2013.csv", "fer2013/fer2013.csv")
    sources = {"tar": {"fer2013": (tmp_path / "packed").read_bytes()}}
    sources |= {"gz": {"fer2013.csv.gz": gzip.compress(table)}, "bz2": {"x/fer2013.csv.bz2": bz2.compress(table)}}
    for name, files in sources.items():
        assert len(take("fer2013", unpacked(tmp_path / name, files), tmp_path / f"out-{name}").rows) == 42


@pytest.mark.parametrize("change", [
    lambda text: text + "\n", lambda text: text.replace("\n", "\r\n\r\n"), lambda text: "\ufeff" + text + ",,\n \n",
])  # fmt: skip
def test_lines_without_values_are_skipped_in_every_table(change, tmp_path):
    text = write_csv(tmp_path / "whole.csv").read_text()
    source = unpacked(tmp_path / "in", {"fer2013.csv": change(text).encode()})
    votes = "Usage,Image name," + ",".join(params.load_dataset("ferplus").classes) + ",unknown,NF\n"
    votes += "".join(f"{line.rpartition(',')[2]},a.png,{','.join('9' + '0' * 9)}\n" for line in text.splitlines()[1:])
    unpacked(source, {"fer2013new.csv": change(votes).encode()})
    assert len(take("fer2013", source / "fer2013.csv", tmp_path / "a").rows) == 42
    assert len(take("ferplus", source, tmp_path / "b").rows) == 42


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_table_with_other_separators_is_refused_by_them(mark, tmp_path):
    text = write_csv(tmp_path / "whole.csv").read_text().replace(",", mark)
    with pytest.raises(FerError, match="separated by (semicolons|tabs).*expected commas"):
        take("fer2013", unpacked(tmp_path / "in", {"fer2013.csv": text.encode()}), tmp_path / "out")


def moved(files, change):
    return {change(path): data for path, data in files.items()}


RAFDB = {
    "valid": lambda path: path.replace("/test/", "/valid/"),
    "Val": lambda path: path.replace("/test/", "/Val/"),
    "parts inside": lambda path: re.sub(r"/(train|test)/(\d)/", r"/\2/\1/", path),
    "named": lambda path: path.replace("/5/", "/Sad/").replace("/1/", "/surprised/"),
}


@pytest.mark.parametrize("change", RAFDB)
def test_rafdb_s_folders_may_differ_in_a_name_or_their_order(change, tmp_path):
    assert seen(take("rafdb", unpacked(tmp_path / "in", moved(FOLDERS, RAFDB[change])), tmp_path / "out")) == EXPECTED


@pytest.mark.parametrize("change", [
    lambda path: re.sub(r"(\w+)/(\w+)/", r"\2/\1/", path), lambda path: path.replace("train/", "Training_set/"),
    lambda path: path.replace("/angry/", "/0_Angry/").replace("test/", "tests/"),
    lambda path: path.replace("valid/", "dev/"), lambda path: path.replace("valid/", "Validation_images/"),
    lambda path: path.replace("valid/", "PublicTest/").replace("test/", "PrivateTest/"),
    lambda path: path.replace("train/", "1_train/").replace("valid/", "2_val/").replace("test/", "3_test_split/"),
])  # fmt: skip
def test_parts_may_lie_below_the_classes_and_bear_other_names(change, tmp_path):
    taken = read(unpacked(tmp_path / "in", moved(PARTED, change)), tmp_path / "out")
    assert taken.seen("image", "label", "part") == PARTED_EXPECTED


NESTED = {
    "a neutral folder beside the others": lambda path: path if path.startswith("neutral") else f"emotions/{path}",
    "a folder for each person": lambda path: f"S{len(path) % 3}/{path}",
}


@pytest.mark.parametrize("change", NESTED)
def test_class_folders_inside_other_folders_are_named_and_read_once_the_parameters_say_so(change, tmp_path):
    source = unpacked(tmp_path / "in", moved(FLAT, NESTED[change]))
    with pytest.raises(FerError, match=r"(emotions is|s0, s1, s2 are) neither .* options: \{nested: true\}"):
        read(source, tmp_path / "a")
    taken = read(source, tmp_path / "b", options={"nested": True})
    assert taken.seen("image", "label", "part") == FLAT_EXPECTED


def test_numbered_class_folders_are_read_once_the_parameters_say_which_is_which(tmp_path):
    files = {f"{['angry', 'happy', 'neutral'].index(path.split('/')[0])}/{path}": data for path, data in FLAT.items()}
    files = {re.sub(r"^(\d)/\w+/", r"\1/", path): data for path, data in files.items()}
    source = unpacked(tmp_path / "in", files)
    with pytest.raises(FerError, match=r'folders 0, 1, 2 are numbers.*options: \{folders: \{"0": angry, "1": happy'):
        read(source, tmp_path / "a")
    taken = read(source, tmp_path / "b", options={"folders": {0: "angry", 1: "happy", 2: "neutral"}})
    assert taken.seen("image", "label", "part") == FLAT_EXPECTED


def test_an_image_in_folders_that_disagree_is_named(tmp_path):
    with pytest.raises(FerError, match=r"happy/angry/1\.png: lies in the folder of happy and in that of angry"):
        read(unpacked(tmp_path / "a", FLAT | {"happy/angry/1.png": image(1)}), tmp_path / "out")


def table_of(rows, head="image,label"):
    return "\n".join([head, *(",".join(row) for row in rows)]).encode()


IMAGES = {f"images/{number}.png": image(number) for number in range(6)}
NAMED = ["angry", "HAPPY", "neutral"] * 2
LABEL_TABLES = {
    "names": ("image,label", lambda n, label: (f"{n}.png", label)),
    "paths and another order": ("Age,Emotion,File_Path", lambda n, label: ("30", label, f".\\images\\{n}.png")),
    "no endings": ("Expression,Image Name", lambda n, label: (label, str(n))),
    "parts": ("file,class,Usage", lambda n, label: (f"{n}.png", label, ("Training", "PublicTest", "test")[n % 3])),
}


@pytest.mark.parametrize("form", LABEL_TABLES)
def test_a_flat_folder_is_read_by_the_table_of_labels_beside_it(form, tmp_path):
    head, write = LABEL_TABLES[form]
    files = IMAGES | {"labels.csv": table_of([write(number, label) for number, label in enumerate(NAMED)], head)}
    parts = ("train", "val", "test") if form == "parts" else (None,) * 3
    expected = sorted((image(number), number % 3, parts[number % 3]) for number in range(6))
    assert read(unpacked(tmp_path / "in", files), tmp_path / "out").seen("image", "label", "part") == expected


def test_all_rows_of_a_table_of_labels_that_fit_no_image_or_disagree_are_named_at_once(tmp_path):
    rows = [(f"{number}.png", label) for number, label in enumerate(NAMED)]
    wrong = [("7.png", "happy"), ("8.png", "happy"), ("0.png", "neutral")]
    with pytest.raises(FerError) as error:
        read(unpacked(tmp_path / "in", IMAGES | {"labels.csv": table_of(rows + wrong)}), tmp_path / "a")
    assert "'7.png' is not among" in str(error.value) and "'8.png' is not among" in str(error.value)
    assert "'0.png' has another label or part in labels.csv, row 0 (line 2)" in str(error.value)
    codes = {"labels.csv": table_of([(f"{number}.png", str(number % 3)) for number in range(6)])}
    with pytest.raises(FerError, match=r'labels 0, 1, 2 are numbers.*options: \{folders: \{"0": angry'):
        read(unpacked(tmp_path / "codes", IMAGES | codes), tmp_path / "b")
    with pytest.raises(FerError, match=r"a column for the image \(image, .* which labels\.csv lacks"):
        read(unpacked(tmp_path / "other", IMAGES | {"labels.csv": table_of(rows, "a,b")}), tmp_path / "c")


EMPTY = {"empty": b"", "blank lines": b"\n \r\n,,\n", "only a header": None, "only a mark": b"\xef\xbb\xbf"}


@pytest.mark.parametrize("content", EMPTY)
def test_a_table_without_rows_is_said_to_have_none(content, tmp_path):
    votes = "Usage,Image name," + ",".join(params.load_dataset("ferplus").classes) + ",unknown,NF\n"
    whole = write_csv(tmp_path / "whole.csv").read_bytes()
    places = {  # the dataset, the table, its header, and what lies beside it
        "mine": ("images.csv", b"image,label\n", IMAGES),
        "fer2013": ("fer2013.csv", b"emotion,pixels,Usage\n", {}),
        "ferplus": ("fer2013new.csv", votes.encode(), {"fer2013.csv": whole}),
        "rafdb": ("train_labels.csv", b"image,label\n", {"train/train_00001_aligned.jpg": image(1, ".jpg")}),
    }
    for name, (table, header, beside) in places.items():
        data = header if EMPTY[content] is None else EMPTY[content]
        source = unpacked(tmp_path / name, beside | {table: data})
        with pytest.raises(FerError, match=rf"^{table} has no rows: (the file is empty|there is only its header)"):
            take(name, source, tmp_path / "out", parameters() if name == "mine" else None)


def test_an_empty_table_beside_one_with_rows_is_left_out(tmp_path):
    table = table_of([(f"{number}.png", label) for number, label in enumerate(NAMED)])
    taken = read(unpacked(tmp_path / "in", IMAGES | {"labels.csv": table, "notes.csv": b""}), tmp_path / "out")
    assert len(taken.rows) == 6 and taken.left_out == {"not named as an image": 1}


def test_bad_rows_and_copies_are_named_all_at_once(tmp_path):
    lines = write_csv(tmp_path / "whole.csv").read_text().splitlines()
    lines[2], lines[4], lines[6] = "0,1", "9" + lines[4][1:], lines[6] + ",more"
    with pytest.raises(FerError) as error:
        take("fer2013", unpacked(tmp_path / "a", {"fer2013.csv": "\n".join(lines).encode()}), tmp_path / "out")
    for fault in ("(line 3): 2 values for 3 columns", "(line 5): unknown label '9'", "(line 7): 4 values"):
        assert fault in str(error.value)
    copies = FOLDERS | {path.replace("DATASET", "copy"): data for path, data in FOLDERS.items()}
    with pytest.raises(FerError) as error:
        take("rafdb", unpacked(tmp_path / "b", copies), tmp_path / "out")
    assert str(error.value).count("are the same image") > 1


@pytest.mark.parametrize(("mark", "words"), [("_", ("visible", "infrared")), (" ", ("VIS", "Thermal"))])
def test_viri_s_folders_may_be_separated_otherwise_and_say_the_modality_in_full(mark, words, tmp_path):
    folders = [mark.join(["VIRI", name, word]) for name in params.load_dataset("viri").classes for word in words]
    files = {f"{folder}/001.JPG": image(number, ".jpg") for number, folder in enumerate(folders)}
    taken = take("viri", unpacked(tmp_path / "in", files), tmp_path / "out", changed("viri", official_counts={}))
    assert list(taken.rows["modality"].value_counts()) == [5, 5] and not taken.left_out


def test_fer2013_in_numbered_folders_and_with_parts_below_them_is_read(tmp_path):
    codes = {name: str(code) for code, name in enumerate(params.load_dataset("fer2013").classes)}
    files = {}
    for path, data in folder_files():
        part, name, file = path.split("/")
        files[f"{codes[name]}/{part}/{file}"] = data
    assert len(take("fer2013", unpacked(tmp_path / "in", files), tmp_path / "out").rows) == 42


def test_a_neutral_folder_beside_the_classes_of_ckplus_is_left_out_or_taken(tmp_path):
    frames = {f"CK+48/happy/S010_004_0000001{number}.png": image(number) for number in (7, 8, 9)}
    source = unpacked(tmp_path / "in", frames | {"CK+48/neutral/S010_004_00000001.png": image(1)})
    dataset = changed("ckplus", classes=["anger", "happy"], official_counts={}, allow_empty_classes=True)
    taken = take("ckplus", source, tmp_path / "a", dataset)
    assert len(taken.rows) == 3 and taken.left_out == {"neutral is not among the classes": 1}
    dataset = changed("ckplus", classes=["neutral", "happy"], official_counts={}, allow_empty_classes=True)
    assert sorted(take("ckplus", source, tmp_path / "b", dataset).rows["label"]) == [0, 1, 1, 1]


@pytest.mark.parametrize("seed", [2**32, 1764066000000000000, 2**63, -1])
def test_a_seed_that_numpy_does_not_take_is_refused_with_the_parameters(seed):
    with pytest.raises(ValidationError, match="less than or equal to 4294967295|greater than or equal to 0"):
        params.Study.model_validate({"name": "x", "experiments": {}, "datasets": {"jaffe": None}, "seeds": [seed]})
    with pytest.raises(ValidationError):
        TypeAdapter(params.Seed).validate_python(seed)


@pytest.mark.parametrize(
    "words", [("--seed", str(2**63 - 1)), ("--seed", "1764066000000000000"), ("--threads", "99999")]
)
def test_a_number_out_of_bounds_is_refused_on_the_command_line_by_its_bound(words):
    program = [sys.executable, "-m", "fer", "train", "fer2013-dnn", *words]
    result = subprocess.run(program, text=True, capture_output=True)
    assert result.returncode == 2 and "Traceback" not in result.stderr and f"'{words[0]}'" in result.stderr
    assert re.search("4294967295|1024", result.stderr), result.stderr


@pytest.mark.parametrize("name", ["my faces", "a.b", "../x", "-x", "x-", "a--b", "é", "a/b", "x" * 65, ""])
def test_a_name_outside_the_grammar_is_refused_wherever_it_is_given(name):
    with pytest.raises(ValidationError, match="is not a valid name; expected letters A to z"):
        params.Study.model_validate({"name": name, "experiments": {}, "datasets": {"jaffe": None}})
    with pytest.raises(ValidationError, match="is not a valid name"):
        parameters(subjects=["a", "b", name])


FORBIDDEN = set(string.punctuation) - set("_-")  # in a stage's name by DVC


def test_a_name_of_the_grammar_suits_snakemake_dvc_and_the_shell():
    for name in ("Mine-2", "a_b-C", "0"):
        assert params.valid_name(name) == name == shlex.quote(name)
        assert not set(name) & FORBIDDEN


def test_no_two_names_share_a_stage_of_dvc(monkeypatch):
    monkeypatch.syspath_prepend("workflow/scripts")
    from engines import stage_name

    names = [
        name for size in (1, 3, 4) for name in map("".join, itertools.product("0x_-", repeat=size)) if is_name(name)
    ]
    rule = SimpleNamespace(name="train")
    jobs = [{"experiment": name, "fold": fold, "seed": 0} for name in names for fold in names]
    stages = {stage_name(SimpleNamespace(rule=rule, wildcards_dict=job)) for job in jobs}
    assert len(stages) == len(jobs) > 3_000
    assert not set("".join(stages)) & FORBIDDEN


def is_name(name):
    try:
        return params.valid_name(name) == name
    except ValueError:
        return False
