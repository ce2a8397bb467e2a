"""Sources are read as they are, archives inside archives included; what a hostile archive tries is refused by name."""

import gzip
import io
import itertools
import os
import random
import re
import stat
import struct
import tarfile
import tempfile
import tracemalloc
import warnings
import zipfile

import py7zr
import pytest

from fer import sources
from fer.errors import FerError
from fer.sources import archives, guard

TREE = {"b/2.png": b"two" * 1000, "a.txt": b"one", "b/c/3.png": os.urandom(3000), "empty.txt": b""}


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory, monkeypatch):
    """Every test has a temporary folder of its own, which must be empty when the test is over."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert not list(folder.iterdir())


# --- writing archives -----------------------------------------------------------------------------------------------


def pack_zip(tree, compression=zipfile.ZIP_DEFLATED):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content in tree.items() if isinstance(tree, dict) else tree:
            archive.writestr(name, content)
    return data.getvalue()


def member(name, content=b"x", kind=tarfile.REGTYPE, link=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.linkname = kind, len(content), link
    return entry, content


def pack_tar(tree, mode="w:gz"):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:
        for entry, content in (member(*item) for item in tree.items()) if isinstance(tree, dict) else tree:
            archive.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def pack_7z(tree, **options):
    data = io.BytesIO()
    with py7zr.SevenZipFile(data, "w", **options) as archive:
        for name, content in tree.items():
            archive.writestr(content, name)
    return data.getvalue()


def hostile_7z(renamed, attributes=None):
    """A 7z archive whose one entry is called as py7zr would not call it, with attributes of our choice."""
    data = io.BytesIO()
    archive = py7zr.SevenZipFile(data, "w")
    archive.writestr(b"content", "harmless")
    for entry in archive.header.files_info.files:
        entry["filename"] = renamed
        if attributes is not None:
            entry["attributes"] = attributes
    archive.close()
    return data.getvalue()


PACKERS = {
    ".zip": pack_zip,
    ".tar": lambda tree: pack_tar(tree, "w"),
    ".tar.gz": pack_tar,
    ".TGZ": pack_tar,
    ".tar.bz2": lambda tree: pack_tar(tree, "w:bz2"),
    ".tar.xz": lambda tree: pack_tar(tree, "w:xz"),
    ".7z": pack_7z,
}


def folder_of(tree, place):
    for name, content in tree.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def source_of(place, data):
    place.write_bytes(data)
    return place


def content(source):
    return {name: handle.read() for name, handle in sources.files(source)}


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", PACKERS)
def test_an_archive_holds_what_was_packed_and_reads_alike_by_files_names_and_opened(ending, tmp_path):
    source = source_of(tmp_path / f"a{ending}", PACKERS[ending](TREE))
    assert content(source) == TREE
    assert sorted(sources.names(source)) == sorted(TREE)
    for name, data in TREE.items():
        with sources.opened(source, name) as handle:
            assert handle.read() == data


def test_a_folder_is_read_in_the_order_of_its_path_components(tmp_path):
    source = folder_of({**TREE, "b-/4.png": b"four"}, tmp_path / "in")
    assert list(content(source)) == sources.names(source) == ["a.txt", "b/2.png", "b/c/3.png", "b-/4.png", "empty.txt"]


def test_a_single_file_is_a_source_of_one(tmp_path):
    source = source_of(tmp_path / "table.csv", b"1,2\n")
    assert content(source) == {"table.csv": b"1,2\n"} and sources.names(source) == ["table.csv"]
    with sources.opened(source, "table.csv") as handle:
        assert handle.read() == b"1,2\n"


@pytest.mark.parametrize(("outer", "inner"), list(zip(PACKERS, [*list(PACKERS)[3:], *list(PACKERS)[:3]], strict=True)))
def test_an_archive_inside_an_archive_inside_a_folder_is_one_component_of_the_path(outer, inner, tmp_path):
    nested = PACKERS[outer]({"deep/In" + inner: PACKERS[inner](TREE), "beside.txt": b"."})
    source = folder_of({f"x/Out{outer}": nested, "top.txt": b"t"}, tmp_path / "in")
    prefix = f"x/Out{outer}/"
    expected = {f"{prefix}deep/In{inner}/{name}": data for name, data in TREE.items()}
    expected |= {f"{prefix}beside.txt": b".", "top.txt": b"t"}
    assert content(source) == expected
    assert sorted(sources.names(source)) == sorted(expected)
    for name in expected:
        with sources.opened(source, name) as handle:
            assert handle.read() == expected[name]


def test_clutter_is_ignored_wherever_it_lies(tmp_path):
    clutter = ("__MACOSX/b/._2.png", ".DS_Store", "b/Thumbs.db", "b/desktop.ini", "._a.txt", "Icon\r")
    tree = TREE | dict.fromkeys(clutter, b"clutter")
    for ending, pack in PACKERS.items():
        assert content(source_of(tmp_path / f"a{ending}", pack(tree))) == TREE
    assert content(folder_of(tree, tmp_path / "in")) == TREE


def test_names_come_without_the_dots_and_backslashes_that_some_programs_write(tmp_path):
    tree = [member(".", b"", tarfile.DIRTYPE), member("./a/b.png"), member("c\\d.png")]
    assert sources.names(source_of(tmp_path / "a.tar", pack_tar(tree, "w"))) == ["a/b.png", "c/d.png"]
    data = pack_zip({"./a/b.png": b"", "c\\d.png": b"", "e\\": b"", "f//g.png": b""})
    assert sources.names(source_of(tmp_path / "a.zip", data)) == ["a/b.png", "c/d.png", "f/g.png"]


def test_what_a_browser_unzipped_on_the_way_is_read_by_its_bytes_not_its_name(tmp_path):
    assert content(source_of(tmp_path / "a.tar.gz", pack_tar(TREE, "w"))) == TREE


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path):
    for source in (folder_of(TREE, tmp_path / "in"), source_of(tmp_path / "a.zip", pack_zip(TREE))):
        with pytest.raises(FerError, match=r"(in|a\.zip) holds no b/9\.png"), sources.opened(source, "b/9.png"):
            pass
    with pytest.raises(FerError, match="does not exist"):
        sources.names(tmp_path / "none")


def test_a_file_is_closed_when_the_next_is_asked_for(tmp_path):
    for source in (folder_of(TREE, tmp_path / "in"), source_of(tmp_path / "a.7z", pack_7z(TREE))):
        handles = [handle for _, handle in sources.files(source)]
        assert len(handles) == 4 and all(handle.closed for handle in handles)


def test_opening_one_file_of_a_zip_reads_no_other(tmp_path, monkeypatch):
    source = source_of(tmp_path / "a.zip", pack_zip({"1.png": b"1", "2.png": b"2"}))
    read = []
    monkeypatch.setattr(guard.Guard, "gave", lambda self, count, name: read.append(name))
    with sources.opened(source, "2.png") as handle:
        assert handle.read() == b"2"
    assert set(read) == {"2.png"}


def test_leaving_a_7z_archive_early_leaves_nothing_in_the_temporary_folder(tmp_path, temporary):
    source = source_of(tmp_path / "a.7z", pack_7z({f"{number}.png": os.urandom(1000) for number in range(5)}))
    walk = sources.files(source)
    next(walk)
    assert list(temporary.iterdir())
    walk.close()
    assert not list(temporary.iterdir())


def test_links_of_a_folder_are_followed(tmp_path):
    elsewhere = folder_of(TREE, tmp_path / "elsewhere")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/folder").symlink_to(elsewhere)
    (tmp_path / "in/file.png").symlink_to(elsewhere / "b/2.png")
    (tmp_path / "source").symlink_to(tmp_path / "in")
    expected = {f"folder/{name}": data for name, data in TREE.items()} | {"file.png": TREE["b/2.png"]}
    assert content(tmp_path / "source") == expected


def circle(folder):
    (folder / "b/c/up").symlink_to(folder)


def broken(folder):
    (folder / "gone.png").symlink_to(folder / "nowhere")


def itself(folder):
    (folder / "self.png").symlink_to("self.png")


def pipe(folder):
    os.mkfifo(folder / "pipe.png")


def control(folder):
    (folder / "a\nb.png").write_bytes(b"")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (circle, "'b/c/up': a link to a folder that contains it"),
        (broken, "'gone.png': cannot be read.*broken link"),
        (itself, "'self.png': cannot be read"),
        (pipe, "'pipe.png': a link or a device, not a plain file"),
        (control, r"'a\\nb.png': a name with control characters"),
    ],
)
def test_what_cannot_be_read_of_a_folder_is_an_error_and_never_hangs(change, message, tmp_path):
    folder = folder_of(TREE, tmp_path / "in")
    change(folder)
    with pytest.raises(FerError, match=message):
        content(folder)


# --- hostile names and kinds ----------------------------------------------------------------------------------------

OUTSIDE, BAD_NAME = "leads out of the archive", "a name with control characters, or not in UTF-8"
NAMES = {
    "a/../../evil.png": OUTSIDE,
    "..\\evil.png": OUTSIDE,
    "/evil.png": OUTSIDE,
    "C:\\evil.png": OUTSIDE,
    "a\x1b[2J.png": BAD_NAME,
    ".": OUTSIDE,
}
ONE = {
    ".zip": lambda name: pack_zip({name: b"x"}),
    ".tar": lambda name: pack_tar({name: b"x"}, "w"),
    ".tar.gz": lambda name: pack_tar({name: b"x"}),
    ".7z": hostile_7z,
}


def refused(source, name, message):
    """Assert that reading `source` fails with the archive's and the entry's name and leaves nothing behind."""
    before = sorted(source.parent.rglob("*"))
    for read in (content, sources.names):
        with pytest.raises(FerError) as error:
            read(source)
        assert str(source) in str(error.value) and repr(name) in str(error.value) and message in str(error.value)
    assert sorted(source.parent.rglob("*")) == before


@pytest.mark.parametrize(("name", "ending"), zip(NAMES, itertools.cycle(ONE)))
def test_an_entry_whose_name_leads_astray_is_refused(name, ending, tmp_path):
    source = source_of(tmp_path / f"a{ending}", ONE[ending](name))
    refused(source, name.replace("\\", "/") if ending == ".7z" else name, NAMES[name])


def test_a_hostile_archive_inside_an_archive_is_refused_by_its_whole_path(tmp_path):
    inner = pack_zip({"../evil.png": b"x"})
    source = folder_of({"x.tar.gz": pack_tar({"sub/inner.zip": inner})}, tmp_path / "in")
    with pytest.raises(FerError, match=r"in/x\.tar\.gz/sub/inner\.zip: '\.\./evil\.png': a name that leads out"):
        content(source)


def test_a_zip_name_in_a_code_page_that_cannot_be_told_is_refused(tmp_path):
    data = pack_zip({"cafXX.png": b"x"}).replace(b"cafXX", b"caf\xe9\xe9")
    refused(source_of(tmp_path / "a.zip", data), "caf\udce9\udce9.png", BAD_NAME)


def test_a_zip_name_in_utf_8_is_read_with_its_flag_and_without(tmp_path):
    assert sources.names(source_of(tmp_path / "a.zip", pack_zip({"café.png": b"x"}))) == ["café.png"]
    data = pack_zip({"cafXX.png": b"x"}).replace(b"cafXX", "café".encode())
    assert content(source_of(tmp_path / "b.zip", data)) == {"café.png": b"x"}


def test_a_tar_name_that_is_not_utf_8_is_refused(tmp_path):
    entry = member("cafX.png")
    data = pack_tar([entry], "w")
    header = bytearray(data[:512].replace(b"cafX", b"caf\xe9"))
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    refused(source_of(tmp_path / "a.tar", bytes(header) + data[512:]), "caf\udce9.png", BAD_NAME)


SPECIAL = "a link or a device, not a plain file"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, b"Q", tarfile.GNUTYPE_SPARSE])
def test_a_tar_entry_that_is_no_plain_file_is_refused(kind, tmp_path):
    data = pack_tar([member("x.png", b"", kind, "/etc/passwd")], "w")
    refused(source_of(tmp_path / "a.tar", data), "x.png", SPECIAL)


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO])
def test_a_zip_or_7z_entry_that_is_no_plain_file_is_refused(mode, tmp_path):
    entry = zipfile.ZipInfo("x.png")
    entry.create_system, entry.external_attr = 3, (mode | 0o777) << 16
    refused(source_of(tmp_path / "a.zip", pack_zip([(entry, b"/etc/passwd")])), "x.png", SPECIAL)
    refused(source_of(tmp_path / "a.7z", hostile_7z("x.png", 0x8000 | (mode | 0o777) << 16)), "x.png", SPECIAL)


def test_an_entry_that_is_there_twice_is_refused(tmp_path):
    for other in ("x.png", "./x.png"):
        twice = [("x.png", b"1"), (other, b"2")]
        refused(source_of(tmp_path / "a.zip", pack_zip(twice)), other, "occurs twice")
        refused(source_of(tmp_path / "a.tar", pack_tar([member(*item) for item in twice], "w")), other, "occurs twice")


def test_all_bad_entries_of_all_archives_of_a_source_are_named_at_once_each_kind_in_a_line(tmp_path):
    links = [member(name, b"", tarfile.SYMTYPE, "/etc/passwd") for name in ("l1.png", "l2.png")]
    tar = pack_tar([*links, member("good.png"), member("../a.png")], "w")
    tree = {"x/one.tar": tar, "two.zip": pack_zip({"../a.png": b"x", "b/../../c.png": b"x"})}
    for read in (content, sources.names):
        with pytest.raises(FerError) as error:
            read(folder_of(tree, tmp_path / "in"))
        outside, links = str(error.value).splitlines()
        assert outside.startswith("3 files: a name that leads out of the archive") and "give the folder" in outside
        assert all(name in outside for name in ("two.zip: '../a.png'", "two.zip: 'b/../../c.png'", "one.tar: '../a"))
        assert links.startswith("2 files: a link or a device") and "'l1.png'" in links and "'l2.png'" in links


def test_all_bad_files_of_a_folder_are_named_at_once(tmp_path):
    folder = folder_of(TREE, tmp_path / "in")
    for change in (broken, pipe, control):
        change(folder)
    os.mkfifo(folder / "b/other.png")
    with pytest.raises(FerError) as error:
        content(folder)
    assert len(str(error.value).splitlines()) == 3
    assert re.search("2 files: a link or a device.*'b/other.png', .*'pipe.png'", str(error.value))


def test_an_encrypted_archive_is_refused(tmp_path):
    data = bytearray(pack_zip({"x.png": b"x"}))
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    refused(source_of(tmp_path / "a.zip", bytes(data)), "x.png", "encrypted")
    for hide_names in (False, True):
        source = source_of(tmp_path / "a.7z", pack_7z(TREE, password="secret", header_encryption=hide_names))
        with pytest.raises(FerError, match=r"a\.7z is encrypted"):
            content(source)


# --- bombs ----------------------------------------------------------------------------------------------------------

ZEROS = bytes(4 << 20)
BOMBS = {
    ".zip": lambda: pack_zip({"z.png": ZEROS}),
    ".tar.gz": lambda: pack_tar({"z.png": ZEROS}),
    ".tar.xz": lambda: pack_tar({"z.png": ZEROS}, "w:xz"),
    ".7z": lambda: pack_7z({"z.png": ZEROS}),
}


@pytest.mark.parametrize("ending", BOMBS)
def test_an_archive_that_swells_like_a_bomb_is_refused(ending, tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "FREE", 1 << 20)
    source = source_of(tmp_path / f"a{ending}", BOMBS[ending]())
    with pytest.raises(FerError, match=r"a\.[\w.]+: with 'z\.png', .*is it a decompression bomb"):
        content(source)


@pytest.mark.parametrize("ending", BOMBS)
def test_more_than_the_total_is_refused_however_well_it_is_packed(ending, tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "TOTAL", 1 << 20)
    source = source_of(tmp_path / f"a{ending}", PACKERS[ending]({"z.png": os.urandom(2 << 20)}))
    with pytest.raises(FerError, match=r"with 'z\.png', .* more than is read"):
        content(source)


def test_small_archives_in_an_archive_do_not_get_around_the_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "FREE", 8 << 20)
    small = pack_zip({"z.png": ZEROS})
    source = source_of(tmp_path / "a.zip", pack_zip({f"{number}.zip": small for number in range(4)}))
    with pytest.raises(FerError, match=r"a\.zip: with '\d\.zip/z\.png', .* bomb"):
        content(source)


def test_entries_that_share_their_bytes_count_each_for_itself(tmp_path, monkeypatch):
    """The index names the same packed megabyte many times, so the archive is tiny."""
    monkeypatch.setattr(guard, "FREE", 8 << 20)
    data = pack_zip({"z.png": ZEROS})
    start = data.index(b"PK\1\2")
    record, end = data[start : data.index(b"PK\5\6")], data[data.index(b"PK\5\6") :]
    records = b"".join(record.replace(b"z.png", b"%05d" % number) for number in range(20))
    end = end[:8] + struct.pack("<HHL", 20, 20, len(records)) + end[16:]
    source = source_of(tmp_path / "a.zip", data[:start] + records + end)
    with pytest.raises(FerError, match="bomb|damaged"):
        content(source)


def test_a_size_that_the_header_lies_about_lets_no_more_through(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "FREE", 1 << 20)
    data = bytearray(pack_zip({"z.png": ZEROS}))
    for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        data[data.index(signature) + offset :][:4] = b""
        place = data.index(signature) + offset
        data[place : place + 4] = struct.pack("<L", 100)
    source = source_of(tmp_path / "a.zip", bytes(data))
    with pytest.raises(FerError, match=r"a\.zip is truncated or damaged \(Bad CRC"):
        content(source)


def test_archives_nested_too_deep_are_refused(tmp_path):
    data = pack_zip({"x.png": b"x"})
    for _ in range(guard.DEPTH - 1):
        data = pack_zip({"a.zip": data})
    assert list(content(source_of(tmp_path / "a.zip", data)).values()) == [b"x"]
    with pytest.raises(FerError, match="is an archive inside 4 others"):
        content(source_of(tmp_path / "a.zip", pack_zip({"a.zip": data})))


@pytest.mark.parametrize("size", [-512, 1 << 40])
def test_a_tar_header_with_an_absurd_size_is_refused(size, tmp_path):
    for kind in (tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
        entry, _ = member("x.png", b"", kind)
        entry.size = size
        data = entry.tobuf(tarfile.GNU_FORMAT) + bytes(10240)
        with pytest.raises(FerError, match=r"a\.tar is truncated or damaged"):
            content(source_of(tmp_path / "a.tar", data))


def test_a_file_too_large_for_an_image_cannot_be_read_in_one_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "WHOLE", 1 << 20)
    big = {"big.png": os.urandom(5 << 18)}
    places = [source_of(tmp_path / f"a{ending}", pack(big)) for ending, pack in PACKERS.items()]
    for source in (*places, folder_of(big, tmp_path / "in")):
        with pytest.raises(FerError, match=r"'big\.png' has over 1,048,576 bytes, too many for an image"):
            content(source)
        with sources.opened(source, "big.png") as handle:  # in pieces it can
            assert b"".join(iter(lambda handle=handle: handle.read(1 << 16), b"")) == big["big.png"]


# --- real data passes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", PACKERS)
def test_tables_of_digits_and_blank_images_are_no_bombs(ending, tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "FREE", 0)
    generator = random.Random(0)
    table = "\n".join(" ".join(str(generator.gauss(120, 20) // 1) for _ in range(500)) for _ in range(100)).encode()
    blank = dict.fromkeys((f"{number}.png" for number in range(50)), b"\x89PNG" + bytes(60))
    tree = {"table.csv": table} | blank
    assert content(source_of(tmp_path / f"a{ending}", PACKERS[ending](tree))) == tree


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", PACKERS)
def test_a_damaged_archive_is_an_error_or_reads_the_same_never_something_else(ending, tmp_path):
    generator, whole = random.Random(ending), PACKERS[ending](TREE)
    for trial in range(150):
        data = bytearray(whole)
        if trial % 3 == 0:
            del data[generator.randrange(len(data)) :]
        else:
            for _ in range(generator.randint(1, 4)):
                data[generator.randrange(len(data))] = generator.randrange(256)
        source = source_of(tmp_path / f"a{ending}", bytes(data))
        try:
            found = content(source)
        except FerError as error:
            assert str(source) in str(error)
        else:
            assert ending == ".tar" or sorted(found.values()) == sorted(TREE.values())  # tar: no checksum of contents


def test_a_tar_that_ends_where_an_entry_ends_is_not_taken_for_whole(tmp_path):
    data = pack_tar(TREE, "w")
    for cut in (512 + 3072, 512 + 3072 + 512):
        with pytest.raises(FerError, match="truncated or damaged"):
            content(source_of(tmp_path / "a.tar", data[:cut]))


def test_a_tar_with_a_broken_header_in_the_middle_is_not_taken_for_ended(tmp_path):
    data = bytearray(pack_tar(TREE, "w"))
    data[512 + 3072 + 100] ^= 1
    with pytest.raises(FerError, match="no header where one was expected"):
        content(source_of(tmp_path / "a.tar.gz", gzip.compress(bytes(data))))


def test_damage_inside_an_archive_inside_names_the_inner_one(tmp_path):
    source = source_of(tmp_path / "a.zip", pack_zip({"in/b.zip": pack_zip(TREE)[:-30]}))
    with pytest.raises(FerError, match=r"a\.zip/in/b\.zip is truncated or damaged"):
        content(source)


def test_something_else_called_an_archive_is_an_error(tmp_path):
    for ending in PACKERS:
        with pytest.raises(FerError, match=r"is truncated or damaged"):
            content(source_of(tmp_path / f"a{ending}", b"please log in" * 100))


STAND_INS = {
    b"<html>please log in</html>": "is a web page, not the file itself: download it with a browser",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n": "is a pointer of Git LFS, .* run `git lfs pull`",
}


@pytest.mark.parametrize("data", STAND_INS)
def test_what_stands_for_an_archive_that_did_not_arrive_is_named(data, tmp_path):
    source = folder_of({f"a{ending}": data for ending in PACKERS}, tmp_path / "in")
    with pytest.raises(FerError) as error:
        content(source)
    lines = str(error.value).splitlines()
    assert len(lines) == len(PACKERS) and all(re.search(STAND_INS[data], line) for line in lines)


# --- memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".zip", ".tar.gz", ".7z"])
def test_memory_stays_flat_for_a_big_entry(ending, tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "RATIO", 1 << 20)
    monkeypatch.setattr(archives, "SPOOL", 1 << 20)
    size = 64 << 20
    with open(tmp_path / "big.csv", "wb") as table:  # sparse
        table.truncate(size)
    place = tmp_path / f"a{ending}"
    if ending == ".zip":
        with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.write(tmp_path / "big.csv", "big.csv")
    elif ending == ".tar.gz":
        with tarfile.open(place, "w:gz", compresslevel=1) as archive:
            archive.add(tmp_path / "big.csv", "big.csv")
    else:
        with py7zr.SevenZipFile(place, "w", filters=[{"id": py7zr.FILTER_COPY}]) as archive:
            archive.write(tmp_path / "big.csv", "big.csv")
    (tmp_path / "big.csv").unlink()
    tracemalloc.start()
    with sources.opened(place, "big.csv") as handle:
        read = sum(map(len, iter(lambda: handle.read(1 << 16), b"")))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read == size and peak < 36 << 20
