"""The checkout: who owns the runs that it makes, and whether DVC can record them here."""

from __future__ import annotations

import configparser
import fcntl
import importlib.util
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fer.errors import FerError
from fer.storage import read_json, write_json

OWNER = Path(".fer") / "checkout.json"  # git ignores it: a clone does not inherit it
NOTE = {"owner": str, "former": list, "folder": str, "inode": int}  # what that file holds
VERSIONED = ("data", "runs", "reports")  # the folders of a study that hold its artifacts


# --- recording ------------------------------------------------------------------------------------------------------


def obstacle(root: Path) -> str | None:
    """Return in one line why DVC cannot record a study with this root and what to do; None if it can.

    Every command that records, checks or fetches calls this, and a run calls it before its first job.
    """
    return next(obstacles(root), None)


def obstacles(root: Path) -> Iterator[str]:
    """Yield every reason why DVC cannot record, with what to do; the most basic one first."""
    if importlib.util.find_spec("dvc") is None:
        yield 'DVC is not installed: pip install -e ".[engines]"'
    if not Path(".dvc").is_dir():
        yield "this folder has no .dvc/: clone the project with git, or run `dvc init` here"
    if not Path(".git").exists():
        yield (
            "this folder is not a git repository of its own (was it downloaded as an archive?): clone the project with "
            "git, or make it one: git init && git add . && git commit -m 'as downloaded'"
        )
    for folder in linked_folders(root):
        yield (
            f"{folder} is a link to {folder.resolve()}, and DVC records only what lies inside the checkout: keep the "
            "checkout itself on the large disk, or DVC's cache alone (dvc cache dir --local PATH)"
        )
    yield from unwritable(root)


def linked_folders(root: Path) -> Iterator[Path]:
    """Yield the folders of a study that are links to somewhere outside the checkout."""
    here = Path.cwd().resolve()
    above = [parent for parent in (root, *root.parents) if parent != Path()]
    below = [Path(top, name) for part in VERSIONED for top, names, _ in os.walk(root / part) for name in names]
    for folder in (*reversed(above), *(root / part for part in VERSIONED), *below):
        if folder.is_symlink() and not folder.resolve().is_relative_to(here):
            yield folder


def unwritable(root: Path) -> Iterator[str]:
    """Yield a line for everything that DVC must write and this user cannot."""
    try:
        cache = cache_folder()
    except configparser.Error as error:
        yield f"DVC's configuration cannot be read: {' '.join(str(error).split())}"
        return
    for path in (Path(".dvc"), Path(".dvc/tmp"), cache, root / "dvc.yaml", root / "dvc.lock"):
        there = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
        if not os.access(there, os.W_OK) or not (there.is_dir() or path.is_file()):
            yield f"{path} cannot be written by this user (uid {os.getuid()}): change its owner or its permissions"


def cache_folder() -> Path:
    """Return where DVC keeps its cache, as the checkout's own configuration says."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read([".dvc/config", ".dvc/config.local"], encoding="utf-8")
    return Path(".dvc", settings.get("cache", "dir", fallback="cache").strip("'\""))


# --- ownership ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Owner:
    """Who made a run: one checkout. `former` are the names under which a checkout that this one is a copy of had it."""

    name: str
    former: tuple[str, ...] = ()


def owner() -> Owner:
    """Return this checkout's owner, a random name that it keeps when it is moved and that no copy or clone shares.

    A copy of the folder brings the file along. It is recognised by the inode of the file's folder, which a move or a
    container leaves as it is, and by the original, where that is still in its place.
    """
    known = own_note()
    if known is None:
        OWNER.parent.mkdir(exist_ok=True)
        with open(OWNER.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # trainings that start together agree on one name
            known = own_note() or new_note()
    if known["folder"] != str(Path.cwd()):
        write_json(OWNER, known | {"folder": str(Path.cwd())})
    return Owner(known["owner"], tuple(known["former"]))


def own_note() -> dict | None:
    """Return what this checkout's file says; None if there is none yet, or one copied along from another checkout."""
    known = read_note(OWNER)
    return known if known and known["inode"] == inode(OWNER) and not original_elsewhere(known) else None


def new_note() -> dict:
    """Name this checkout, write that down and return it."""
    known = read_note(OWNER)
    former = [*known["former"], known["owner"]] if known else []
    new = {"owner": uuid.uuid4().hex, "former": former, "folder": str(Path.cwd()), "inode": inode(OWNER)}
    write_json(OWNER, new)
    return new


def read_note(file: Path) -> dict | None:
    """Return the content of an owner's file; None if it is missing, truncated or edited."""
    try:
        known = read_json(file)
    except (FerError, OSError):
        return None
    whole = isinstance(known, dict) and all(isinstance(known.get(key), kind) for key, kind in NOTE.items())
    return known if whole else None


def inode(file: Path) -> int:
    """Return the inode of a file's folder, which does not change when the folder is moved."""
    return file.parent.stat().st_ino


def original_elsewhere(known: dict) -> bool:
    """Return whether the folder that a checkout's file names is another one, and still the same owner's."""
    file = Path(known["folder"]) / OWNER
    other = read_note(file)
    return other is not None and other["owner"] == known["owner"] and not file.samefile(OWNER)
