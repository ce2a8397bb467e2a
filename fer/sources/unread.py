"""Archives that are not read, recognised by name and first bytes, so that a message can name them and the way out."""

from __future__ import annotations

import re
import shlex

from fer.errors import Faults
from fer.wording import counted, examples

ADVICE = "unpack it yourself and give the folder"
# What is not read as it is: by which ending, what one and several are called, what to do with {them}
KINDS = (
    (
        re.compile(r"\.(part|partial|crdownload|download|opdownload|aria2)$", re.IGNORECASE),
        ("unfinished download", "unfinished downloads"),
        "Let the browser finish {them}, or remove {them} and download again.",
    ),
    (
        re.compile(r"\.z\d\d$", re.IGNORECASE),
        ("part of a spanned zip archive", "parts of a spanned zip archive"),
        "Such an archive is not read. Unpack it yourself (`7z x` on the part that ends in .zip) and give the folder.",
    ),
    (
        re.compile(
            r"\.(rar|r\d\d|zipx|alz|egg|ace|arj|arc|cab|lzh|lha|zoo|sitx?|sea|wim|cpio|xar|zpaq|pea|cbr|"
            r"zst|tzst|zstd|lz|lz4|lzo|lzma|tlz|br|z|taz|iso|dmg|img|squashfs)$",
            re.IGNORECASE,
        ),
        ("archive of a kind that is not read", "archives of a kind that is not read"),
        "Unpack {them} yourself and give the folder (7-Zip and unar know most kinds).",
    ),
)
# Parts that `split`, 7-Zip and others cut: faces.tar.gz.aa, faces.tgz00, faces.zip.001, faces.partab, faces.001
PART = re.compile(
    r"(?:(.+\.(?:zip|7z|rar|tar|t?gz|t?bz2|tbz|t?xz|t?zst)[._-]?(?:part[._-]?)?)"
    r"(?:(?!gz|xz|lz|bz|br|md)[a-z]{2}|aa[a-z]|\d{2,4})"
    r"|(.+\.part[._-]?)(?:[a-z]{2}|\d{1,4})|(.+\.)\d{3})",
    re.IGNORECASE,
)
LETTERED = re.compile(r"(.*)([a-z]{2})")  # any file may be a part where one in aa and one in ab lie together
# Where the first bytes of a kind stand, what they are, and what they mean
STARTS = (
    (0, b"Rar!", "a RAR archive"),
    (0, b"PK\7\x08", "the first part of a split zip archive"),
    (0, b"PK00PK", "the first part of a split zip archive"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (0, b"\x04\x22\x4d\x18", "an LZ4 archive"),
    (0, b"LZIP", "an lzip archive"),
    (0, b"MSCF", "a cabinet archive"),
    (0, b"\x1f\x9d", "a compress archive"),
    (0, b"ALZ\1", "an ALZ archive"),
    (0, b"EGGA", "an EGG archive"),
    (0, b"MSWIM", "a WIM archive"),
    (0, b"xar!", "a XAR archive"),
    (0, b"StuffIt", "a StuffIt archive"),
    (2, b"-lh", "an LZH archive"),
    (7, b"**ACE**", "an ACE archive"),
)


def stand_in(start: bytes) -> str | None:
    """Return what a file is and what to do if its first bytes show a placeholder for one that did not arrive."""
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself: run `git lfs pull` where it was cloned"
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page, not the file itself: download it with a browser (the page may ask to log in)"
    return None


def unread_start(start: bytes) -> str | None:
    """Return the kind of archive that a file's first bytes show, if it is one that is not read."""
    return next((what for place, magic, what in STARTS if start.startswith(magic, place)), None)


def note_unread(paths: list[str], source: str, faults: Faults) -> None:
    """Add a line for each kind of archives that are not read among the paths, with all of them and the way out."""
    rest = paths
    for ending, nouns, advice in KINDS:
        if found := [path for path in rest if ending.search(path)]:
            rest = [path for path in rest if not ending.search(path)]
            them = "it" if len(found) == 1 else "them"
            line = f"{counted(len(found), *nouns)}: {examples(found)}. {advice.format(them=them)}"
            faults.say(f"{source} holds {line}")
    for before, found in parts(rest).items():
        faults.say(f"{source} holds {joined(before, found)}")


def parts(paths: list[str]) -> dict[str, list[str]]:
    """Return the parts of split archives among the paths, by what stands before the letters or number of each."""
    found: dict[str, list[str]] = {}
    lettered: dict[str, dict[str, str]] = {}
    for path in paths:
        if match := PART.fullmatch(path):
            found.setdefault(match[1] or match[2] or match[3], []).append(path)
        elif match := LETTERED.fullmatch(path):
            lettered.setdefault(match[1], {})[match[2]] = path
    return found | {before: list(names.values()) for before, names in lettered.items() if {"aa", "ab"} <= set(names)}


def joined(before: str, found: list[str]) -> str:
    """Return what to do with the parts of one archive, whose paths begin with `before`."""
    found = sorted(found, key=lambda path: (len(path), path))  # part2 before part10
    folder, _, name = before.rpartition("/")
    whole = re.sub(r"[._-]*(part)?[._-]*$", "", name, flags=re.IGNORECASE) or "whole"
    widths = {len(path) - len(before) for path in found}
    every = shlex.quote(name) + "?" * widths.pop() if len(widths) == 1 else f"$(ls -v {shlex.quote(name)}*)"
    return (
        f"{counted(len(found), 'part')} of a split archive, not read as they are: {examples(found)}. Join all parts"
        f"{f' in {folder}' if folder else ''} (cat {every} > {shlex.quote(whole)}) and remove them, or unpack the "
        "archive yourself and give the folder."
    )
