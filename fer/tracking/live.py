"""A training shown in MLflow while it goes on."""

from __future__ import annotations

import importlib.util
import logging
import queue
import threading
import time
from datetime import datetime

from fer.errors import FerError
from fer.runs import Run
from fer.tracking.address import store_uri, without_password
from fer.tracking.entries import as_parameters, history_metrics, tags
from fer.tracking.store import connect, experiment_id, failure

logger = logging.getLogger("fer")

PATIENCE = 20  # seconds that a finished training waits for a slow tracking server
LIVE_AFTER = 60  # seconds after which a training is shown live: importing MLflow costs a short one more than it takes


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
                slow = without_password(store_uri())
                logger.warning("MLflow (%s) has not answered in time; `fer track` catches up.", slow)

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
            experiment = experiment_id(client, self.run.experiment.dataset)
            run_id = client.create_run(experiment, tags=tags(self.run, "live")).info.run_id
            client.log_batch(run_id, params=as_parameters(self.run.resolved()))
            while (row := self.rows.get()) is not None:
                client.log_batch(run_id, metrics=history_metrics([row], datetime.now()))
            client.set_terminated(run_id, self.status)
        except Exception as error:  # whatever a tracking server does, training goes on
            said = error if isinstance(error, FerError) else failure(error)
            logger.warning("%s. Training goes on; `fer track` catches up.", said)
