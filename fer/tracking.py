"""MLflow as a projection of the run folders: live while training, rebuilt from `runs/` at any time.

The run folders are the truth. Nothing here may stop a training, and nothing reads MLflow to decide anything else.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from fer import layout
from fer.errors import FerError
from fer.runs import Run
from fer.storage import file_sha256, read_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger("fer")

DEFAULT_STORE = "sqlite:///mlflow.db"  # what a plain `mlflow ui` shows
KEY, DIGEST, STATE = "fer.key", "fer.digest", "fer.state"
ARTIFACTS = (
    layout.WEIGHTS,
    layout.HISTORY,
    layout.PARAMETERS,
    layout.ENVIRONMENT,
    layout.PREDICTIONS,
    layout.METRICS,
    layout.CONFUSION,
    layout.COST,
    layout.ROBUSTNESS,
)
PATIENCE = 20  # seconds that a finished training waits for a slow tracking server
ANSWER = 10  # seconds that the server has for each answer
LIVE_AFTER = 60  # seconds after which a training is shown live: importing MLflow costs a short one more than it takes


def key(run: Run) -> str:
    return f"{run.layout.root}:{run.name}/{run.fold}.{run.seed}"


def store_uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE


def connect(retries: int = 0) -> MlflowClient:
    """Return a client of the tracking store, which is created first where it is a new SQLite file.

    A training asks for nothing twice: a slow server may have done what it has not answered, and `fer track` catches up.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(ANSWER))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", str(retries))
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow import MlflowClient

    uri = store_uri()
    if uri.startswith("sqlite:///"):
        with locked(Path(uri.removeprefix("sqlite:///"))) as path:
            if not path.exists():
                create_store(path)
    return MlflowClient(uri)


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
def locked(path: Path) -> Iterator[Path]:
    """Hold the lock beside `path`; it is freed when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield path


def experiment_id(client: MlflowClient, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name, tags={"mlflow.experimentKind": "custom_model_development"})
        except MlflowException:  # another job was faster
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return found.experiment_id


def tags(run: Run, state: str) -> dict[str, str]:
    return {
        KEY: key(run),
        STATE: state,
        "mlflow.runName": f"fold {run.fold}, seed {run.seed}" + (" (live)" if state == "live" else ""),
        "study": "default" if run.layout.root == Path() else run.layout.root.name,
        **{name: getattr(run.experiment, name) for name in ("dataset", "system", "modality", "protocol", "kind")},
        "variant_of": run.experiment.variant_of or "",
    }


def flat(values: dict, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield ("recipe.optimizer", "adam") for {"recipe": {"optimizer": "adam"}}."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


class LiveRun:
    """Sends each epoch to MLflow from a thread of its own, so that a slow or dead server costs the training nothing.

    A training that is over within `LIVE_AFTER` seconds is not shown live, unless it fails.
    """

    def __init__(self, run: Run):
        self.run = run
        self.rows: queue.SimpleQueue[dict | None] = queue.SimpleQueue()
        self.status = "FINISHED"
        self.started = time.monotonic()
        self.thread = threading.Thread(target=self._send_all, name="mlflow", daemon=True)

    def __enter__(self) -> LiveRun:
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.status = "FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED"
        self.rows.put(None)
        if kind not in (None, KeyboardInterrupt):
            self._show()
        if self.thread.is_alive():
            self.thread.join(PATIENCE)
            if self.thread.is_alive():
                logger.warning("MLflow (%s) is too slow to wait for; `fer track` catches up.", store_uri())

    def log(self, row: dict) -> None:
        """Queue one row of the history."""
        self.rows.put(row)
        if time.monotonic() - self.started >= LIVE_AFTER:
            self._show()

    def _show(self) -> None:
        if importlib.util.find_spec("mlflow") is None:
            logger.debug("mlflow is not installed: this training is not shown live")
        elif self.thread.ident is None:  # not started before
            self.thread.start()

    def _send_all(self) -> None:
        try:
            client = connect()
            run_id = client.create_run(experiment_id(client, self.run.name), tags=tags(self.run, "live")).info.run_id
            client.log_batch(run_id, params=as_parameters(self.run.resolved()))
            while (row := self.rows.get()) is not None:
                client.log_batch(run_id, metrics=history_metrics([row], datetime.now()))
            client.set_terminated(run_id, self.status)
        except Exception as error:  # whatever a tracking server does, training goes on
            logger.warning("MLflow (%s) failed: %s. Training goes on; `fer track` catches up.", store_uri(), error)


def as_parameters(values: dict) -> list:
    from mlflow.entities import Param

    return [Param(name, value) for name, value in flat(values)]


def history_metrics(history: Iterable[dict], when: datetime) -> list:
    from mlflow.entities import Metric

    stamp = int(when.timestamp() * 1000)
    return [
        Metric(name, float(value), stamp, int(row["epoch"]))
        for row in history
        for name, value in row.items()
        if name != "epoch"
    ]


def project(runs: list[Run]) -> str:
    """Make MLflow show exactly one current run for each of `runs`, as its folder says; return a line for the terminal.

    A run whose folder has not changed is left alone. Otherwise the new MLflow run is added and then the old ones of
    the same key, live ones included, are deleted (MLflow keeps deleted runs restorable).

    Raises:
        FerError: a run is unfinished, or MLflow failed.
    """
    client = connect(retries=2)  # before any import of MLflow, which reads its settings then
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    try:
        return bring_up_to_date(client, runs)
    except (MlflowException, RequestException) as error:
        raise FerError(f"MLflow ({store_uri()}) failed: {error}. When it is there again: fer track") from error


def bring_up_to_date(client: MlflowClient, runs: list[Run]) -> str:
    """Do what `project` promises, or fail as MLflow fails."""
    added = 0
    for run in runs:
        missing = [name for name in ARTIFACTS if not (run.folder / name).exists()]
        if missing:
            raise FerError(f"{run.folder} lacks {', '.join(missing)}: run `snakemake --cores 8 all` first")
        experiment = experiment_id(client, run.name)
        found = client.search_runs([experiment], f"tags.`{KEY}` = '{key(run)}'")
        digest = folder_digest(run)
        current = [item for item in found if item.data.tags.get(DIGEST) == digest and item.info.status == "FINISHED"]
        if not current:
            add(client, experiment, run, digest)
            added += 1
        for old in [item for item in found if item not in current[:1]]:
            client.delete_run(old.info.run_id)
    gone = retire(client, runs)
    return f"{len(runs)} runs in MLflow ({store_uri()}), {added} of them new" + (f", {gone} retired" if gone else "")


def retire(client: MlflowClient, runs: list[Run]) -> int:
    """Delete the current runs of folds, seeds and experiments that have left the study; return their number."""
    kept, prefix = {key(run) for run in runs}, f"{runs[0].layout.root}:"
    experiments = [item.experiment_id for item in client.search_experiments()]
    found = client.search_runs(experiments, f"tags.`{STATE}` = 'current' AND tags.`{KEY}` LIKE '{prefix}%'")
    gone = [item for item in found if item.data.tags[KEY] not in kept]
    for item in gone:
        client.delete_run(item.info.run_id)
    return len(gone)


def figures(run: Run) -> list[Path]:
    """Return the report's figures of the run's experiment (all its folds and seeds), those that there are."""
    return sorted(run.layout.reports().glob(f"figures/{run.name}.*.png"))


def folder_digest(run: Run) -> str:
    hashes = [file_sha256(path) for path in (*(run.folder / name for name in ARTIFACTS), *figures(run))]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def add(client: MlflowClient, experiment: str, run: Run, digest: str) -> None:
    """Add one MLflow run that shows everything of the run's folder."""
    from mlflow.entities import Metric, RunTag

    parameters, machine = read_json(run.folder / layout.PARAMETERS), read_json(run.folder / layout.ENVIRONMENT)
    measured = {f"test_{name}": value for name, value in read_json(run.folder / layout.METRICS).items()}
    measured |= read_json(run.folder / layout.COST) | {"train_seconds": machine["seconds"]}
    when = datetime.fromisoformat(machine["date"])
    stamp = int(when.timestamp() * 1000)
    data = parameters.pop("data")

    created = client.create_run(experiment, start_time=stamp, tags=tags(run, "current"))
    run_id = created.info.run_id
    described = {DIGEST: digest, "mlflow.source.git.commit": machine["commit"] or "unknown"}
    described |= {f"data.{name}.sha256": value for name, value in data.items()}
    described |= {f"environment.{name}": str(value) for name, value in machine.items()}
    numbers = [
        Metric(name, float(value), stamp, 0) for name, value in measured.items() if isinstance(value, int | float)
    ]
    history = history_metrics(pd.read_csv(run.folder / layout.HISTORY).to_dict("records"), when)
    client.log_batch(
        run_id,
        params=as_parameters(parameters),
        tags=[RunTag(name, value) for name, value in described.items()],
    )
    for start in range(0, len(numbers + history), 1000):  # MLflow takes a thousand at once
        client.log_batch(run_id, metrics=(numbers + history)[start : start + 1000])
    for name in ARTIFACTS:
        client.log_artifact(run_id, str(run.folder / name))
    for figure in figures(run):
        client.log_artifact(run_id, str(figure), "figures")
    client.set_terminated(run_id, end_time=stamp + int(machine["seconds"] * 1000))
