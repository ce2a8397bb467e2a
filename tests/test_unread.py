"""Archives that are not read are never taken for stray files or for damage: the error names them and the way out."""

import re
import subprocess
import sys

import pytest
import yaml
from conftest import PROJECT
from dataset_sources import tarred, unpacked, zipped
from test_folders import FLAT, FLAT_EXPECTED, VALUES, read

from fer.errors import FerError

SPLIT = {  # the parts' names, and what is cut
    "faces.tar.gz.a{letter}": tarred,
    "faces.tgz0{number}": tarred,
    "faces.zip.00{number}": zipped,
    "my faces.parta{letter}": zipped,
    "more/xa{letter}": tarred,
    "faces.tar.gz.part{number}": tarred,  # from part1 to part12
}


def acquire(folder, source="in"):
    """Run `fer acquire` in a project's folder, as a user does; return its status and what it says."""
    (folder / "params/datasets").mkdir(parents=True, exist_ok=True)
    (folder / "params/datasets/mine.yaml").write_text(yaml.safe_dump(VALUES | {"allow_empty_classes": True}))
    program = [sys.executable, "-m", "fer", "acquire", "mine", "--source", source, "--root", "lab"]
    result = subprocess.run(program, cwd=folder, env={"PYTHONPATH": str(PROJECT)}, text=True, capture_output=True)
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize("name", SPLIT)
def test_the_parts_of_a_split_archive_are_named_and_the_command_in_the_error_joins_them(name, tmp_path):
    data = SPLIT[name](tmp_path / "whole", FLAT).read_bytes()
    count = 12 if name.endswith("part{number}") else 3
    size = -(-len(data) // count)
    parts = {
        name.format(number=place + 1, letter="abc"[place % 3]): data[place * size : (place + 1) * size]
        for place in range(count)
    }
    place = unpacked(tmp_path / "in", parts)
    status, said = acquire(tmp_path)
    assert status == 2 and f"in holds {count} parts of a split archive" in said, said
    assert all(part in said for part in list(parts)[:3]) and "unpack the archive yourself and give the folder" in said
    subprocess.run(re.search(r"\((cat .*)\) and remove", said)[1], shell=True, cwd=(place / next(iter(parts))).parent)
    for part in parts:
        (place / part).unlink()
    assert acquire(tmp_path)[0] == 0
    assert read(place, tmp_path / "out").seen("image", "label", "part") == FLAT_EXPECTED


def test_one_part_of_a_split_archive_as_the_source_is_named_with_those_beside_it(tmp_path):
    unpacked(tmp_path, dict.fromkeys(("xaa", "xab", "xac"), b"\x1f\x8b" + bytes(90)))
    status, said = acquire(tmp_path, "xaa")
    assert status == 2 and "holds 3 parts of a split archive, not read as they are: xaa, xab, xac" in said, said


OTHERS = {
    ("test.rar",): "1 archive of a kind that is not read: test.rar. Unpack it yourself and give the folder",
    (
        "a.alz",
        "b.egg",
        "x/c.ace",
        "d.lzh",
    ): "4 archives of a kind that is not read: a.alz, b.egg, ",
    ("faces.tar.zst", "faces.part1.rar", "faces.r00"): "Unpack them yourself and give the folder",
    (
        "x/faces.z01",
        "x/faces.z02",
    ): "2 parts of a spanned zip archive: x/faces.z01, x/faces.z02. Such",
    ("faces.zip.crdownload",): "1 unfinished download: faces.zip.crdownload. Let the browser finish it",
}


@pytest.mark.parametrize("names", OTHERS)
def test_archives_of_other_kinds_are_refused_by_name_all_at_once_and_never_left_out(names, tmp_path):
    unpacked(tmp_path / "in", FLAT | dict.fromkeys(names, b"x" * 90))
    status, said = acquire(tmp_path)
    assert status == 2 and OTHERS[names] in said and all(name in said for name in names), said
    assert "Traceback" not in said and "damaged" not in said


@pytest.mark.parametrize("names", OTHERS)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_they_are_refused_in_an_archive_too(pack, names, tmp_path):
    pack(tmp_path / "in/train.archive", FLAT | dict.fromkeys(names, b"x" * 90))
    with pytest.raises(FerError, match=r"train\.archive holds") as error:
        read(tmp_path / "in", tmp_path / "out")
    assert OTHERS[names] in str(error.value)


STARTS = {
    b"Rar!\x1a\x07\x01\x00": "a RAR archive", b"ALZ\1\n\0\0\0": "an ALZ archive", b"EGGA\0\1": "an EGG archive",
    b"\x10\0-lh5-": "an LZH archive", b"\0\0\0\0\0\0\0**ACE**": "an ACE archive",
}  # fmt: skip


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", ["faces.zip", "faces", "faces.7z"])
def test_an_archive_of_another_kind_is_known_by_its_bytes(name, start, tmp_path):
    source = unpacked(tmp_path / "in", FLAT | {name: start + bytes(400)})
    with pytest.raises(
        FerError, match=rf"{name} is {STARTS[start]}, which cannot be read: unpack it yourself and give"
    ):
        read(source, tmp_path / "out")


def test_endings_of_archives_that_are_read_and_of_files_beside_them_are_not_those_of_parts(tmp_path):
    read_too = {
        "faces.tar.xz.md5": b"x",
        "faces.zip.txt": b"x",
        "faces.md": b"x",
        "notes.part.txt": b"x",
        "S005_001": b"x",
    }
    assert read(unpacked(tmp_path / "in", FLAT | read_too), tmp_path / "out").left_out == {"not named as an image": 5}
