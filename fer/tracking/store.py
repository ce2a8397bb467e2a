"""The tracking store, as people have them: a SQLite file, a server, a database; and what to do where it fails."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fer.errors import FerError

if TYPE_CHECKING:
    from mlflow import MlflowClient

VARIABLE = "MLFLOW_TRACKING_URI"
DEFAULT_STORE = "sqlite:///mlflow.db"  # what a plain `mlflow ui` shows
KNOWN = "sqlite:///mlflow.db, http://SERVER:PORT, or postgresql://, mysql:// and mssql:// with their drivers"
DRIVERS = {"psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}  # packages that are not called as their module is
ANSWER = 10  # seconds that a server has for each answer
RETRIES = 3  # of a database that cannot be reached, after 0.1, 0.3 and 0.7 s; MLflow's own ten take a minute and a half
KIND = "mlflow.experimentKind"


def store_uri() -> str:
    return os.environ.get(VARIABLE, "").strip() or DEFAULT_STORE


def without_password(uri: str) -> str:
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", uri)


def wrong(reason: str) -> FerError:
    """Return the error that names the variable, its value, and what is wrong with it."""
    return FerError(f"{VARIABLE}={without_password(store_uri())}: {reason}")


# --- connecting -----------------------------------------------------------------------------------------------------


def connect(retries: int = 0) -> MlflowClient:
    """Return a client of the tracking store, which is created first where it is a new SQLite file.

    A training asks for nothing twice: a slow server may have done what it has not answered, and `fer track` catches up.

    Raises:
        FerError: the address is not one of a store, or the store is not one that can be used.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(ANSWER))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", str(retries))
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    for name in ("alembic", "mlflow", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    uri = store_uri()
    check_address(uri)
    try:
        return client_of(uri)
    except FerError:
        raise
    except Exception as error:  # whatever a driver or a plug-in of MLflow raises
        raise failure(error) from error


def check_address(uri: str) -> None:
    """Refuse what MLflow would take for something else, or refuse with a page of text."""
    scheme = uri.partition(":")[0] if ":" in uri else ""
    if re.fullmatch(r"[A-Za-z0-9.-]+:\d+(/.*)?", uri):
        raise wrong(f"the address of a server begins with http:// or https://, as in http://{uri}")
    if scheme.partition("+")[0] == "sqlite":
        if not re.match(r"[a-z+]+:///.", uri) or ":memory:" in uri:
            raise wrong("an SQLite store is a file after three slashes: sqlite:///mlflow.db")
        if uri.startswith("sqlite:///~"):
            raise wrong(f"write the path in full: sqlite:///{Path(uri.removeprefix('sqlite:///')).expanduser()}")
    elif scheme in ("", "file") and os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1"):
        raise wrong(
            "MLflow 3.13 and later refuse a folder as store. Set sqlite:///mlflow.db instead, or "
            "MLFLOW_ALLOW_FILE_STORE=true beside it"
        )
    elif scheme in ("http", "https") and not re.match(r"https?://[^/:]", uri):
        raise wrong("the address of a server is http://HOST:PORT")


def client_of(uri: str) -> MlflowClient:
    from mlflow import MlflowClient
    from mlflow.store.db import utils

    utils.MAX_RETRY_COUNT = RETRIES
    if path := sqlite_file(uri):
        check_file(path)
        if not path.exists() or not path.stat().st_size:
            with locked(path):
                if not path.exists() or not path.stat().st_size:
                    create_store(path)
    return MlflowClient(uri)


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite store, without what the address says besides (`?timeout=30`)."""
    if uri.partition("+")[0].partition(":")[0] != "sqlite":
        return None
    from sqlalchemy import make_url

    database = make_url(uri).database
    return None if not database or database.startswith("file:") else Path(database)


def check_file(path: Path) -> None:
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


def create_store(path: Path) -> None:
    """Make the tables in one step and turn on write-ahead logging: jobs that start together would clash over both."""
    from mlflow import MlflowClient

    scratch = path.with_name(f".{path.name}.partial")
    scratch.unlink(missing_ok=True)
    MlflowClient(f"sqlite:///{scratch}").search_experiments()
    with sqlite3.connect(scratch) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    os.replace(scratch, path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock beside `path` while it is created; one that a killed process left is free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with open(lock, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
        lock.unlink(missing_ok=True)  # whoever waits for it finds the store made


# --- failing --------------------------------------------------------------------------------------------------------


def failure(error: Exception) -> FerError:
    """Return in one line what failed, with the address and the way out."""
    text = " ".join(str(error).partition("\n[SQL")[0].split())
    if isinstance(error, ModuleNotFoundError):
        if (error.name or "").partition(".")[0] == "mlflow":
            return FerError('MLflow is not installed: pip install -e ".[engines]"')
        package = DRIVERS.get(error.name or "", error.name)
        return wrong(f"the driver of this database is not installed: pip install {package}, or set {DEFAULT_STORE}")
    if "unsupported URI" in text:
        return wrong(f"not a kind of store that MLflow supports. It supports {KNOWN}")
    if "readonly database" in text:
        return wrong("the store cannot be written: change its permissions, or name another store")
    where = f"the address is {VARIABLE}'s" if os.environ.get(VARIABLE, "").strip() else f"{VARIABLE} is not set"
    text = text if len(text) <= 400 else text[:400] + " …"
    text = without_password(text).rstrip(". ")
    return FerError(
        f"MLflow ({without_password(store_uri())}) failed: {text}. Once it is available again: fer track ({where})"
    )


@contextmanager
def failing_in_one_line() -> Iterator[None]:
    """Turn what MLflow and the store's driver raise into an error of one line."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError) as error:
        raise failure(error) from error


# --- experiments ----------------------------------------------------------------------------------------------------


def experiment_id(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment, which is made, or restored where someone deleted it in the page."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return create_experiment(client, name)
        except MlflowException:  # another job was faster
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def create_experiment(client: MlflowClient, name: str) -> str:
    tags = {KIND: "custom_model_development"}
    path = sqlite_file(store_uri())
    if path is None:
        return client.create_experiment(name, tags=tags)
    from mlflow.entities import ExperimentTag
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(store_uri(), "mlruns")
    store.artifact_root_uri = artifact_folder(path)  # as it is: MLflow would make a relative one absolute
    return store.create_experiment(name, tags=[ExperimentTag(*tag) for tag in tags.items()])


def artifact_folder(path: Path) -> str:
    """Return where the artifacts of an SQLite store lie: beside its file.

    Of a store in the checkout it is relative, so that a moved or copied checkout still has them, and none of another.
    """
    folder = path.resolve().parent / "mlruns"
    return folder.relative_to(Path.cwd().resolve()).as_posix() if in_checkout(path) else str(folder)


def in_checkout(path: Path | None) -> bool:
    return path is not None and path.resolve().is_relative_to(Path.cwd().resolve())
