"""The address of the tracking store: accepted, or refused in one line that says what to set instead."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from fer.errors import FerError

VARIABLE = "MLFLOW_TRACKING_URI"
DEFAULT_STORE = "sqlite:///mlflow.db"  # what a plain `mlflow ui` shows
KNOWN = "sqlite:///mlflow.db, http://SERVER:PORT, or postgresql://, mysql:// and mssql:// with their drivers"
SCHEME = r"([A-Za-z][A-Za-z0-9+.-]+)"
QUOTES = "\"'`\u201c\u201d\u2018\u2019"


def store_uri() -> str:
    """Return the address of the tracking store, its scheme in lower case, as MLflow and SQLAlchemy look it up."""
    uri = os.environ.get(VARIABLE, "").strip() or DEFAULT_STORE
    return re.sub(f"^{SCHEME}(?=:)", lambda found: found[0].lower(), uri)


def without_password(uri: str) -> str:
    """Return an address for messages, with passwords and tokens replaced by ***."""
    uri = re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", uri)
    return re.sub(r"(?i)([?&](?:pass|password|pwd|token)=)[^&]*", r"\1***", uri)


def wrong(reason: str) -> FerError:
    """Return the error that names the variable, its value, and what is wrong with it."""
    given = os.environ.get(VARIABLE, "").strip() or DEFAULT_STORE
    return FerError(f"{VARIABLE}={without_password(given)}: {reason}")


def check_address(uri: str) -> None:
    """Refuse what MLflow would misread, or refuse with a page of text."""
    scheme = found[1] if (found := re.match(SCHEME + ":", uri)) else ""
    if uri[0] in QUOTES or uri[-1] in QUOTES:
        raise wrong(f"the quotation marks belong to the value; set it without them: {uri.strip(QUOTES)}")
    if "$" in uri.partition("?")[0]:
        raise wrong("a variable in it was not replaced by its value; write the address in full")
    if re.match(r"(databricks|uc)\b", uri):
        raise wrong(f"a workspace of Databricks is not supported. Set {KNOWN}")
    try:
        _ = urlsplit(uri).port
    except ValueError as error:
        raise wrong(f"not a valid address ({error}). Expected {KNOWN}") from error
    if re.fullmatch(r"[A-Za-z0-9.-]+:\d+(/.*)?", uri):
        raise wrong(f"the address of a server begins with http:// or https://, as in http://{uri}")
    if scheme.partition("+")[0] == "sqlite":
        if not re.match(r"[a-z+]+:///.", uri) or ":memory:" in uri:
            raise wrong("an SQLite store is a file after three slashes: sqlite:///mlflow.db")
        if uri.startswith("sqlite:///~"):
            raise wrong(f"write the path in full: sqlite:///{Path(uri.removeprefix('sqlite:///')).expanduser()}")
    elif scheme in ("http", "https"):
        if not re.match(r"https?://[^/:]", uri):
            raise wrong("the address of a server is http://HOST:PORT")
        if "#" in uri or "?" in uri:
            raise wrong(f"the address of a server has nothing after # or ?. Set {re.split('[#?]', uri)[0].rstrip('/')}")
    elif scheme in ("", "file") and os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1"):
        raise wrong(
            "this is read as a folder, which MLflow 3.13 and later refuse as a store. Set sqlite:///mlflow.db or the "
            "address of a server (http://HOST:PORT), or MLFLOW_ALLOW_FILE_STORE=true beside it"
        )


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite store, without what the address says besides (`?timeout=30`)."""
    if uri.partition("+")[0].partition(":")[0] != "sqlite":
        return None
    from sqlalchemy import make_url

    database = make_url(uri).database
    return None if not database or database.startswith("file:") else Path(database)


def check_file(path: Path) -> None:
    """Refuse a file that cannot become, or is not, an SQLite store that this user can write."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir():
        raise wrong(f"{path} is a folder, and an SQLite store is a file: sqlite:///{path / 'mlflow.db'}")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise wrong(f"{path} cannot be written by this user: change its permissions, or name another store")
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise wrong(f"the folder {folder} cannot be written by this user: change that, or name another store")
    if path.exists():
        with open(path, "rb") as handle:
            if handle.read(16) not in (b"", b"SQLite format 3\0"):
                raise wrong(f"{path} is not an SQLite database: delete it, or name another store")
