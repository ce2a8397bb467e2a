"""The tracking store: an SQLite file, a server or a database; and what to do if it fails."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from fer.errors import FerError
from fer.tracking.address import (
    DEFAULT_STORE,
    KNOWN,
    VARIABLE,
    check_address,
    check_file,
    sqlite_file,
    store_uri,
    without_password,
    wrong,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

DRIVERS = {"psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}  # packages that are not called as their module is
ANSWER = 10  # seconds that a server has for each answer
RETRIES = 3  # of a database that cannot be reached, after 0.1, 0.3 and 0.7 s; MLflow's own ten take a minute and a half
KIND = "mlflow.experimentKind"
NETWORK = {  # file systems that several machines share
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "sshfs", "lustre", "gpfs", "beegfs", "beegfs_nodev", "glusterfs", "ceph"),
    *("afs", "pvfs2", "orangefs", "panfs", "wekafs", "quobyte", "moosefs", "9p"),
}


# --- connecting -----------------------------------------------------------------------------------------------------


def connect(retries: int = 0) -> MlflowClient:
    """Return a client of the tracking store; a new SQLite file is created first.

    A training repeats no request: a slow server may have done what it has not answered, and `fer track` catches up.

    Raises:
        FerError: the address is not that of a store, or the store cannot be used.
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
    except (ValueError, TypeError) as error:  # of a driver that reads the address
        raise wrong(f"not a valid address ({error}). Expected {KNOWN}") from error
    except Exception as error:  # whatever a driver or a plug-in of MLflow raises
        raise failure(error) from error


def client_of(uri: str) -> MlflowClient:
    """Return a client of the store; an SQLite store is checked, and created if there is none."""
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


def on_network(path: Path) -> str | None:
    """Return the kind of the network file system that a file lies on; None where it is on a disk of this machine.

    SQLite's locks do not hold there, so that jobs of several nodes would damage a store.
    """
    place = str(path.resolve())
    mounts = [part for part in psutil.disk_partitions(all=True) if Path(place).is_relative_to(part.mountpoint)]
    kind = max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else ""
    return kind if kind.lower().removeprefix("fuse.") in NETWORK else None


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
    """Return in one line what failed, with the address and what to do."""
    text = " ".join(str(error).partition("\n[SQL")[0].split())
    if isinstance(error, ModuleNotFoundError):
        if (error.name or "").partition(".")[0] == "mlflow":
            return FerError('MLflow is not installed: pip install -e ".[engines]"')
        package = DRIVERS.get(error.name or "", error.name)
        return wrong(f"the driver of this database is not installed: pip install {package}, or set {DEFAULT_STORE}")
    if "Could not parse" in text:
        return wrong(f"not a valid address. Expected {KNOWN}")
    if "unsupported URI" in text:
        return wrong(f"not a kind of store that MLflow supports. It supports {KNOWN}")
    if "readonly database" in text:
        return wrong("the store cannot be written: change its permissions, or name another store")
    where = f"the address is in {VARIABLE}" if os.environ.get(VARIABLE, "").strip() else f"{VARIABLE} is not set"
    text = text if len(text) <= 400 else text[:400] + " …"
    text = without_password(text).rstrip(". ")
    return FerError(
        f"MLflow ({without_password(store_uri())}) failed: {text}. Once it is available again: fer track ({where})"
    )


@contextmanager
def failing_in_one_line() -> Iterator[None]:
    """Turn errors of MLflow and the store's driver into an error of one line."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError) as error:
        raise failure(error) from error


# --- experiments ----------------------------------------------------------------------------------------------------


def experiment_id(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment, which is created, or restored if someone deleted it in the UI."""
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
    """Create an MLflow experiment and return its identifier."""
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

    For a store in the checkout it is relative, so that a moved or copied checkout finds its own artifacts.
    """
    folder = path.resolve().parent / "mlruns"
    return folder.relative_to(Path.cwd().resolve()).as_posix() if in_checkout(path) else str(folder)


def in_checkout(path: Path | None) -> bool:
    """Return whether an SQLite store lies in the checkout, with which it may be moved."""
    return path is not None and path.resolve().is_relative_to(Path.cwd().resolve())
