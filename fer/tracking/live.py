"""Training, shown live in MLflow."""

from __future__ import annotations

import importlib.util
import logging
import os
import platform
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psutil

from fer.errors import FerError
from fer.params.system import flat
from fer.runs import Run
from fer.tracking import entries
from fer.tracking.address import sqlite_file, store_uri, without_password
from fer.tracking.entries import KEY, OWNER, ROOT, STATE, as_parameters, having, history_metrics, run_tags, tags
from fer.tracking.store import connect, experiment_id, failure, on_network

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as Entry

logger = logging.getLogger("fer")

PATIENCE = 20  # seconds that a finished training waits for a slow tracking server
LIVE_AFTER = 60  # seconds after which a training is shown live: importing MLflow costs a short one more than it takes
AGAIN = 30  # seconds after which a server that failed is tried again
DAY = 86_400  # seconds without an epoch after which a training of another machine is taken for dead
NOT_SHARED = (
    "%s is on a network file system (%s), where jobs cannot share SQLite: this training is not shown live. `fer track` "
    "enters it; a tracking server would show it live."
)
HOST, PROCESS, SEEN, PARAMETERS = "fer.host", "fer.process", "fer.seen", "fer.parameters"  # tags of a live run


class LiveRun:
    """Sends each epoch to MLflow from a thread of its own, so that a slow or dead server does not delay training.

    What a server did not accept is kept and sent when it answers again. A training that resumes goes on in the run in
    which it was shown before. One that is over within `LIVE_AFTER` seconds is not shown live, unless it fails.
    """

    def __init__(self, run: Run):
        self.run = run
        self.rows: list[tuple[dict, datetime]] = []
        self.sent = 0
        self.status: str | None = None  # how the training ended
        self.news = threading.Condition()
        self.started = time.monotonic()
        self.thread = threading.Thread(target=self._send_all, name="mlflow", daemon=True)

    def __enter__(self) -> LiveRun:
        return self

    def __exit__(self, kind, error, trace) -> None:
        with self.news:
            self.status = "FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED"
            self.news.notify()
        if kind not in (None, KeyboardInterrupt):
            self._show()
        if self.thread.is_alive():
            self.thread.join(PATIENCE)
            if self.thread.is_alive():
                slow = without_password(store_uri())
                logger.warning("MLflow (%s) has not answered in time; `fer track` will catch up.", slow)

    def log(self, row: dict) -> None:
        """Queue one row of the history."""
        with self.news:
            self.rows.append((row, datetime.now()))
            self.news.notify()
        if time.monotonic() - self.started >= LIVE_AFTER:
            self._show()

    def _show(self) -> None:
        if importlib.util.find_spec("mlflow") is None:
            logger.debug("mlflow is not installed: this training is not shown live")
        elif self.thread.ident is None:  # not started before
            self.thread.start()

    def _send_all(self) -> None:
        warned = False
        while True:
            try:
                if (path := sqlite_file(store_uri())) and (kind := on_network(path)):
                    logger.info(NOT_SHARED, path, kind)
                    return
                return self._follow(connect())
            except Exception as error:  # whatever a tracking server does, training continues
                if not warned:
                    said = error if isinstance(error, FerError) else failure(error)
                    logger.warning("%s. Training continues; `fer track` will catch up.", said)
                warned = True
            with self.news:
                if self.status or self.news.wait_for(lambda: self.status, AGAIN):
                    return

    def _follow(self, client: MlflowClient) -> None:
        """Send queued and new epochs until training ends."""
        run_id = self._open(client)
        while True:
            with self.news:
                self.news.wait_for(lambda: self.status or len(self.rows) > self.sent)
                new, status = self.rows[self.sent :], self.status
            for row, when in new:
                client.log_batch(run_id, metrics=history_metrics([row], when), tags=run_tags({SEEN: now()}))
                self.sent += 1
            if status:
                return client.set_terminated(run_id, status)

    def _open(self, client: MlflowClient) -> str:
        """Return the run of this training: the one in which it was shown before, or a new one."""
        experiment = experiment_id(client, self.run.experiment.dataset)
        parameters = self.run.resolved()
        mine = {HOST: platform.node(), PROCESS: this_process(), SEEN: now()}
        mine |= {PARAMETERS: entries.digest(f"{name}={value}\n" for name, value in flat(parameters))}
        named = tags(self.run, "live") | mine
        same = {name: named[name] for name in (KEY, OWNER, ROOT, STATE, PARAMETERS)}
        for entry in client.search_runs([experiment], having(same)):
            ours = entry.data.tags.get(PROCESS) == mine[PROCESS] and entry.data.tags.get(HOST) == mine[HOST]
            if ours or (entry.info.status != "FINISHED" and not alive(entry)):
                client.update_run(entry.info.run_id, "RUNNING")
                client.log_batch(entry.info.run_id, tags=run_tags(mine))
                return entry.info.run_id
        run_id = client.create_run(experiment, tags=named).info.run_id
        client.log_batch(run_id, params=as_parameters(parameters))
        return run_id


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def this_process() -> str:
    """Return what identifies this process on its machine: its number, which others get later, and its start time."""
    return f"{os.getpid()} {psutil.Process().create_time():.0f}"


def alive(entry: Entry) -> bool:
    """Return whether the training that a live run shows is still running, as far as can be known."""
    tags = entry.data.tags
    if entry.info.status != "RUNNING" or PROCESS not in tags:
        return False
    if tags.get(HOST) != platform.node():
        return (datetime.now(UTC) - datetime.fromisoformat(tags[SEEN])).total_seconds() < DAY
    number, began = tags[PROCESS].split()
    try:
        return abs(psutil.Process(int(number)).create_time() - float(began)) < 2
    except psutil.Error:
        return False
