"""Brings MLflow up to date with the run folders: a parent for each experiment, with its folds and seeds below it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from fer import layout
from fer.checkout import owner
from fer.errors import FerError
from fer.runs import Run
from fer.storage import file_sha256, read_csv, read_json
from fer.tracking import entries
from fer.tracking.address import sqlite_file, store_uri, without_password
from fer.tracking.entries import DIGEST, KEY, NOTE, OWNER, PARENT, ROOT, STATE
from fer.tracking.live import alive
from fer.tracking.store import connect, experiment_id, failing_in_one_line, in_checkout
from fer.wording import counted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as Entry


def project(runs: list[Run], root: Path = Path()) -> str:
    """Make MLflow show exactly one current run for each of `runs`, as its folder says; return a line for the terminal.

    What has not changed is left alone. Otherwise the new MLflow run is added and then the old ones of the same key,
    live ones included, are deleted (MLflow keeps deleted runs restorable). Runs of other checkouts and of studies with
    another root (given by `root` if there are no runs) are never touched.

    Raises:
        FerError: a run is unfinished, or MLflow failed.
    """
    for run in runs:
        if missing := [name for name in entries.FILES if not (run.folder / name).exists()]:
            raise FerError(f"{run.folder} lacks {', '.join(missing)}: run `snakemake --cores 8 all` first")
    client = connect(retries=2)
    with failing_in_one_line():
        # First of all: one that was deleted in the page comes back with its runs.
        names = dict.fromkeys(run.experiment.dataset for run in runs)
        experiments = {name: experiment_id(client, name) for name in names}
        book = Book(client, runs[0].layout.root if runs else root)
        for _, group in groupby(runs, lambda run: run.name):
            group = list(group)
            enter(book, experiments[group[0].experiment.dataset], group)
        gone = book.retire()
    shown = f"{counted(len(runs), 'run')} in MLflow ({without_password(store_uri())}), {book.added} of them new"
    return shown + (f", {gone} retired" if gone else "")


class Book:
    """What MLflow holds for one checkout and study, read once; and what has been entered or confirmed since."""

    def __init__(self, client: MlflowClient, root: Path):
        self.client, self.added = client, 0
        self.kept: set[str] = set()  # ids of entries
        self.keys: set[str] = set()  # of what the study has
        mine = owner()
        # A store inside the checkout was copied with it; in any other, the runs of the original are the original's.
        names = [mine.name, *(mine.former if in_checkout(sqlite_file(store_uri())) else ())]
        self.found = [entry for name in names for entry in self.search({OWNER: name, ROOT: str(root)})]

    def search(self, wanted: dict[str, str]) -> list[Entry]:
        """Return every run whose tags are exactly these."""
        experiments = [item.experiment_id for item in every(self.client.search_experiments)]
        found = every(self.client.search_runs, experiments, entries.having(wanted)) if experiments else ()
        return [entry for entry in found if wanted.items() <= entry.data.tags.items()]  # some databases ignore case

    def current(self, key: str, digest: str, experiment: str) -> Entry | None:
        """Return the entry that already shows what a key's folder holds, if there is one."""
        for entry in self.found:
            tags, info = entry.data.tags, entry.info
            same = tags[KEY] == key and tags.get(DIGEST) == digest and info.experiment_id == experiment
            if same and info.status == "FINISHED" and has_artifacts(info.artifact_uri):
                if tags[OWNER] != owner().name:
                    self.client.set_tag(info.run_id, OWNER, owner().name)
                self.kept.add(info.run_id)
                return entry
        return None

    def retire(self) -> int:
        """Delete what is not current; return how many runs have left the study, without those that were replaced.

        A training outside the study that is under way is left: it may be someone's at the command line. One whose
        process was killed is shown as that.
        """
        gone = 0
        for entry in self.found:
            key, state = entry.data.tags[KEY], entry.data.tags.get(STATE)
            under_way = state == "live" and entry.info.status == "RUNNING" and key not in self.keys
            if under_way and not alive(entry):
                self.client.set_terminated(entry.info.run_id, "KILLED")
            elif entry.info.run_id not in self.kept and not under_way:
                self.client.delete_run(entry.info.run_id)
                gone += state == "current" and "/" in key and key not in self.keys
        return gone


def every(search: Callable, *arguments) -> Iterator:
    """Yield all results of a search in MLflow, a page of a thousand at a time."""
    token = None
    while True:
        page = search(*arguments, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def has_artifacts(uri: str) -> bool:
    """Return whether an entry's artifacts exist: those of a store in a file may have been deleted or left behind."""
    elsewhere = sqlite_file(store_uri()) is None or re.match(r"(?!file:)[a-z0-9+-]+:", uri)
    return bool(elsewhere) or Path(uri.removeprefix("file://")).is_dir()


def enter(book: Book, experiment: str, runs: list[Run]) -> None:
    """Bring one experiment up to date: its parent, and below it its runs."""
    digests = [entries.folder_digest(run) for run in runs]
    parent = enter_experiment(book, experiment, runs, digests)
    for run, digest in zip(runs, digests, strict=True):
        book.keys.add(entries.key(run))
        entry = book.current(entries.key(run), digest, experiment)
        if entry is None:
            add_run(book.client, experiment, run, {DIGEST: digest, PARENT: parent})
            book.added += 1
        elif entry.data.tags.get(PARENT) != parent:
            book.client.set_tag(entry.info.run_id, PARENT, parent)


def enter_experiment(book: Book, experiment: str, runs: list[Run], digests: list[str]) -> str:
    """Enter what an experiment's runs have in common, and their means; return the id of the entry."""
    first, client = runs[0], book.client
    note, metrics, figures = entries.note(runs), entries.experiment_metrics(runs), entries.figures(first)
    curves = entries.mean_history(runs)
    digest = entries.digest([*digests, note, repr(metrics), repr(curves), *(file_sha256(figure) for figure in figures)])
    book.keys.add(first.name)
    if entry := book.current(first.name, digest, experiment):
        return entry.info.run_id
    when, seconds = began(first), sum(read_json(run.folder / layout.ENVIRONMENT)["seconds"] for run in runs)
    shared = entries.shared_tags(first, "current")
    named = {KEY: first.name, "mlflow.runName": entries.title(first), DIGEST: digest, NOTE: note}
    run_id = client.create_run(experiment, start_time=stamp(when), tags=shared | named).info.run_id
    parameters = read_json(first.folder / layout.PARAMETERS)
    common = {name: value for name, value in parameters.items() if name not in ("fold", "seed", "data")}
    about = {name: value for name, value in entries.source_tags(first).items() if name.startswith("mlflow.source")}
    about["mlflow.source.name"] = f"fer report ({counted(len(runs), 'run')} of {first.name})"
    measured = entries.single_metrics(metrics, when)
    client.log_batch(run_id, measured, entries.as_parameters(common), entries.run_tags(about))
    log_metrics(client, run_id, entries.history_metrics(curves, when))
    client.log_inputs(run_id, [entries.dataset_input(first)])
    for figure in figures:
        client.log_artifact(run_id, str(figure), "figures")
    if not figures:
        client.log_artifact(run_id, str(first.folder / layout.PARAMETERS))
    client.set_terminated(run_id, end_time=stamp(when) + int(seconds * 1000))
    return run_id


def add_run(client: MlflowClient, experiment: str, run: Run, special: dict[str, str]) -> None:
    """Enter everything of one run's folder; weights by their path and hash."""
    when = began(run)
    seconds = read_json(run.folder / layout.ENVIRONMENT)["seconds"]
    created = client.create_run(experiment, start_time=stamp(when), tags=entries.tags(run, "current") | special)
    run_id = created.info.run_id
    parameters = read_json(run.folder / layout.PARAMETERS)
    parameters.pop("data")
    about = entries.run_tags(entries.source_tags(run))
    client.log_batch(run_id, params=entries.as_parameters(parameters), tags=about)
    metrics = entries.single_metrics(entries.measured(run), when)
    metrics += entries.history_metrics(read_csv(run.folder / layout.HISTORY).to_dict("records"), when)
    log_metrics(client, run_id, metrics)
    client.log_inputs(run_id, [entries.dataset_input(run)])
    for name in entries.ARTIFACTS:
        client.log_artifact(run_id, str(run.folder / name))
    client.set_terminated(run_id, end_time=stamp(when) + int(seconds * 1000))


def log_metrics(client: MlflowClient, run_id: str, metrics: list) -> None:
    for start in range(0, len(metrics), 1000):  # MLflow takes a thousand at once
        client.log_batch(run_id, metrics=metrics[start : start + 1000])


def began(run: Run) -> datetime:
    """Return when training began, as its folder records it."""
    return datetime.fromisoformat(read_json(run.folder / layout.ENVIRONMENT)["date"])


def stamp(when: datetime) -> int:
    """Return a time in milliseconds since 1970, as MLflow stores it."""
    return int(when.timestamp() * 1000)
