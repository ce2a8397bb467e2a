"""Names that people give to folders of parts and classes."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

NAMES_OF_PARTS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validate", "validation", "dev", "devel", "development", "publictest"),
    "test": ("test", "testing", "tst", "holdout", "privatetest"),  # FER2013 calls its parts PublicTest, PrivateTest
}
PARTS = {name: part for part, names in NAMES_OF_PARTS.items() for name in names}
NUMBERED = re.compile(r"\d+[ ._-]+(?=\D)")  # what some put before a name to keep the order: 0_angry, 1-train
ENDING = re.compile(r"[ _-]?(set|data|images?|split|part|folder)$")
ARCHIVE = re.compile(r"\.(zip|7z|tgz|tbz2|txz|tar(\.\w+)?)$")  # a part or a class may be an archive of its own


def plain(folder: str) -> str:
    """Return a folder's name in lower case, without the ending of an archive."""
    return ARCHIVE.sub("", folder.lower().strip())


def part_named(folder: str) -> str | None:
    """Return the part that a folder's name means: `part_named("Validation") == "val"`; None where it means none."""
    name = ENDING.sub("", NUMBERED.sub("", plain(folder)))
    name = re.sub(r"[ _-]", "", name)
    return PARTS.get(name) or PARTS.get(name.removesuffix("s"))


def class_folder(path: str) -> str:
    """Return the nearest folder above a file that does not name a part: `happy` of happy/train/1.png; "" for none."""
    folders = PurePosixPath(path).parts[:-1]
    return next((folder for folder in reversed(folders) if part_named(folder) is None), "")


def parts_above(path: str) -> set[str]:
    """Return the parts that the folders above a file name."""
    return {part for folder in PurePosixPath(path).parts[:-1] if (part := part_named(folder))}
