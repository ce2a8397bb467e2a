"""MLflow shows what the run folders say: once, whenever asked, and never at the training's expense."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import namedtuple
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import mlflow
import numpy as np
import pytest
import requests
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import fer
from fer import layout
from fer.errors import FerError
from fer.exporting import champion
from fer.networks import load_network
from fer.runs import Run
from fer.stages.evaluate import evaluate
from fer.stages.train import train
from fer.storage import read_csv, read_json
from fer.tracking import entries, live, projection, store
from fer.training.prediction import classify

EXPERIMENT = "fer2013-attentional_cnn"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Show trainings live from their first epoch."""
    monkeypatch.setattr(live, "LIVE_AFTER", 0)


@pytest.fixture
def own_store(monkeypatch, tmp_path):
    uri = f"sqlite:///{tmp_path}/own.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.fixture
def run(data):
    run = Run(EXPERIMENT, "0", 0, {"epochs": 2, "batch_size": 64}, 1, data)
    train(run, "cpu")
    evaluate(run.as_trained(), "cpu")
    return run


def answers_of(run, images):
    network, parameters = load_network(run.folder)
    return classify(network, torch.from_numpy(images), parameters)


def shown(uri, parents=False):
    """Return the runs that a store shows on the dataset: of folds and seeds, or of experiments."""
    client = MlflowClient(uri)
    found = client.get_experiment_by_name("fer2013")
    runs = client.search_runs([found.experiment_id]) if found else []
    return [run for run in runs if ("/" not in run.data.tags[entries.KEY]) == parents]


def test_a_training_is_shown_live_epoch_by_epoch(own_store, run):
    (sent,) = shown(own_store)
    assert sent.data.tags[entries.STATE] == "live" and sent.data.params["recipe.epochs"] == "2"
    history = MlflowClient(own_store).get_metric_history(sent.info.run_id, "val_accuracy")
    assert [point.step for point in history] == [0, 1]


def test_a_training_that_failed_is_shown_as_failed(own_store, data):
    diverging = {"epochs": 3, "optimizer": "sgd", "schedule": "constant", "learning_rate": 1000, "gradient_clip": None}
    with pytest.raises(FerError, match="the loss became"):
        train(Run(EXPERIMENT, "0", 0, diverging | {"weight_decay": 1000, "batch_size": 20}, 1, data), "cpu")
    (sent,) = shown(own_store)
    assert sent.info.status == "FAILED"


def test_runs_that_left_the_study_are_retired(own_store, run, data):
    other = Run(EXPERIMENT, "0", 1, {"epochs": 1, "batch_size": 64}, 1, data)
    train(other, "cpu")
    evaluate(other.as_trained(), "cpu")
    assert "retired" not in projection.project([run, other])
    assert len(shown(own_store)) == 2
    assert "1 retired" in projection.project([run])
    (left,) = shown(own_store)
    assert left.data.tags[entries.KEY].endswith("/0.0")


def test_projecting_replaces_the_live_run_by_one_current_run_with_everything(own_store, run):
    projection.project([run])
    (current,) = shown(own_store)
    figures = read_json(run.folder / layout.METRICS)
    assert current.data.tags[entries.STATE] == "current" and current.info.status == "FINISHED"
    assert current.data.metrics["test_accuracy"] == figures["accuracy"]
    assert current.data.params["recipe.learning_rate"] == "0.005"
    assert len(current.data.tags["data.crops.sha256"]) == 64
    artifacts = {item.path for item in MlflowClient(own_store).list_artifacts(current.info.run_id)}
    assert artifacts == set(entries.ARTIFACTS)


def test_an_experiment_has_the_mean_curves_of_its_runs(own_store, run):
    other = Run(EXPERIMENT, "0", 1, {"epochs": 3, "batch_size": 64}, 1, run.layout)
    train(other, "cpu")
    evaluate(other.as_trained(), "cpu")
    projection.project([run, other])
    (parent,) = shown(own_store, parents=True)
    history = MlflowClient(own_store).get_metric_history(parent.info.run_id, "val_accuracy")
    curves = [read_csv(each.folder / layout.HISTORY)["val_accuracy"] for each in (run, other)]
    expected = [(curves[0][epoch] + curves[1][epoch]) / 2 for epoch in range(2)]  # the third is one run's alone
    assert [point.value for point in sorted(history, key=lambda point: point.step)] == pytest.approx(expected)


def test_projecting_again_changes_nothing(own_store, run):
    projection.project([run])
    (before,) = shown(own_store)
    assert "0 of them new" in projection.project([run])
    assert [item.info.run_id for item in shown(own_store)] == [before.info.run_id]


def test_a_rerun_leaves_exactly_one_current_run(own_store, run):
    projection.project([run])
    changed = Run(EXPERIMENT, "0", 0, {"epochs": 3, "batch_size": 64}, 1, run.layout)
    train(changed, "cpu")
    evaluate(changed.as_trained(), "cpu")
    projection.project([changed])
    (current,) = shown(own_store)
    assert current.data.params["recipe.epochs"] == "3"


def test_the_store_is_rebuilt_from_the_run_folders_alone(own_store, run, monkeypatch, tmp_path):
    projection.project([run])
    (first,) = shown(own_store)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/rebuilt.db")
    projection.project([run])
    (again,) = shown(f"sqlite:///{tmp_path}/rebuilt.db")
    assert again.data.metrics == first.data.metrics and again.data.params == first.data.params


def test_the_best_sound_run_is_the_champion_that_answers_images_as_the_run_does(own_store, run):
    projection.project([run])
    assert "--drawn" in champion.register([run])
    assert champion.register([run], drawn=True) == "1 model registered as champion: fer2013"
    (current,) = shown(own_store)
    client = MlflowClient(own_store)
    version = client.get_model_version_by_alias("fer2013", "champion")
    assert version.run_id == current.info.run_id and version.tags[entries.KEY] == entries.key(run)
    assert "SYNTHETIC" in version.description and version.tags[champion.DRAWN] == "True"
    assert champion.register([run], drawn=True) == "no model changed"

    mlflow.set_tracking_uri(own_store)
    model = mlflow.pyfunc.load_model("models:/fer2013@champion")
    assert "onnx" in model.metadata.flavors and json.loads(model.metadata.metadata["classes"]) == run.dataset.classes
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 48, 48), np.uint8)
    found = model.predict({"images": images})["probabilities"]
    np.testing.assert_allclose(found, answers_of(run, images), atol=1e-5)
    recognizer = fer.load("models:/fer2013@champion", threads=1)
    np.testing.assert_allclose(recognizer.classify(images[:, 0]), found, atol=1e-6)
    with pytest.raises(FerError, match="models:/nothing@champion: .*`fer track` registers models"):
        fer.load("models:/nothing@champion")
    with pytest.raises(MlflowException, match="schema|type|dtype"):
        model.predict({"images": images.astype(np.float32)})


def test_a_champion_is_beaten_by_validation_and_one_of_real_faces_by_no_drawn_one(own_store, run):
    projection.project([run])
    champion.register([run], drawn=True)
    client = MlflowClient(own_store)

    def theirs(**values):
        version = client.get_model_version_by_alias("fer2013", "champion")
        for name, value in ({entries.OWNER: "another"} | values).items():
            client.set_model_version_tag("fer2013", version.version, name, value)
        return client.get_model_version_by_alias("fer2013", "champion")

    assert not champion.wins(run, theirs(**{champion.VALIDATED: "1.01"}))
    assert champion.wins(run, theirs(**{champion.VALIDATED: "0.01"}))
    assert not champion.wins(run, theirs(**{champion.DRAWN: "False"}))
    defect = replace(run, name="fer2013-attentional_cnn-epoch_chosen_on_test")
    assert champion.register([defect], drawn=True).startswith("no model to register")


def test_what_a_server_did_not_take_is_sent_when_it_answers_again_and_in_the_same_run(own_store, run, monkeypatch):
    monkeypatch.setattr(live, "AGAIN", 0.05)
    failures = [2]
    send = MlflowClient.log_batch

    def failing(client, *arguments, **options):
        if options.get("metrics") and failures[0]:
            failures[0] -= 1
            raise MlflowException("away")
        return send(client, *arguments, **options)

    monkeypatch.setattr(MlflowClient, "log_batch", failing)
    with live.LiveRun(replace(run, seed=5)) as training:
        for epoch in range(4):
            training.log({"epoch": epoch, "val_accuracy": epoch / 10})
        wait_until(lambda: training.sent == 4)
    (sent,) = [item for item in shown(own_store) if item.data.tags["seed"] == "5"]
    history = MlflowClient(own_store).get_metric_history(sent.info.run_id, "val_accuracy")
    assert sorted(point.step for point in history) == [0, 1, 2, 3] and not failures[0]
    assert sent.info.status == "FINISHED"


def wait_until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


KILLED = """
import os, sys
from pathlib import Path
from fer.layout import Layout
from fer.runs import Run
from fer.tracking import live
live.LIVE_AFTER = 0
run = Run({experiment!r}, "0", 7, {{"epochs": 4}}, 1, Layout(Path({root!r})))
training = live.LiveRun(run).__enter__()
training.log({{"epoch": 0, "val_accuracy": 0.1}})
while training.sent < 1: pass
os.kill(os.getpid(), 9)
"""


def killed_training(root):
    program = KILLED.format(experiment=EXPERIMENT, root=str(root))
    assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGKILL


def test_a_killed_training_does_not_stay_running(own_store, run):
    killed_training(run.layout.root)
    (left,) = [item for item in shown(own_store) if item.data.tags["seed"] == "7"]
    assert left.info.status == "RUNNING"
    projection.project([run])
    (left,) = [item for item in shown(own_store) if item.data.tags["seed"] == "7"]
    assert left.info.status == "KILLED" and left.data.tags[entries.STATE] == "live"


def test_a_resumed_training_goes_on_in_the_run_in_which_it_was_shown(own_store, run):
    killed_training(run.layout.root)
    with live.LiveRun(replace(run, seed=7, overrides={"epochs": 4})) as training:
        training.log({"epoch": 1, "val_accuracy": 0.2})
    (left,) = [item for item in shown(own_store) if item.data.tags["seed"] == "7"]
    history = MlflowClient(own_store).get_metric_history(left.info.run_id, "val_accuracy")
    assert [point.step for point in history] == [0, 1] and left.info.status == "FINISHED"


def test_a_store_of_sqlite_on_a_network_file_system_is_left_to_track(own_store, run, monkeypatch, caplog):
    monkeypatch.setattr(store.psutil, "disk_partitions", lambda all: [Mount("/", "ext4"), Mount("/tmp", "nfs4")])
    assert store.on_network(Path("/tmp/x/mlflow.db")) == "nfs4" and store.on_network(Path("/home/mlflow.db")) is None
    monkeypatch.setattr(live, "on_network", lambda path: "nfs4")
    caplog.set_level("INFO", "fer")
    with live.LiveRun(replace(run, seed=9)) as training:
        training.log({"epoch": 0, "val_accuracy": 0.1})
    assert not [item for item in shown(own_store) if item.data.tags["seed"] == "9"]
    assert "network file system (nfs4)" in caplog.text


Mount = namedtuple("Mount", "mountpoint fstype")


def test_an_unfinished_run_is_named_and_not_shown(own_store, run):
    (run.folder / layout.METRICS).unlink()
    with pytest.raises(FerError, match=r"lacks metrics\.json"):
        projection.project([run])


def test_eight_jobs_that_start_at_once_on_a_store_that_does_not_exist_do_not_fail(own_store, tmp_path):
    code = (
        "from fer.tracking import store; client = store.connect();"
        "client.create_run(store.experiment_id(client, 'shared'))"
    )
    jobs = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(8)]
    errors = [job.communicate()[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0] * 8, errors
    client = MlflowClient(own_store)
    assert len(client.search_runs([client.get_experiment_by_name("shared").experiment_id])) == 8


def test_a_dead_tracking_server_does_not_stop_a_training(data, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    run = Run(EXPERIMENT, "0", 0, {"epochs": 1, "batch_size": 64}, 1, data)
    train(run, "cpu")
    assert (run.folder / layout.WEIGHTS).exists()
    assert "Training continues" in caplog.text


def test_a_server_that_answers_with_errors_does_not_stop_a_training(data, monkeypatch, caplog):
    class Failing(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(500)

        do_POST = do_GET

        def log_message(self, *arguments):
            """Keep the test's output clean."""

    server = HTTPServer(("127.0.0.1", 0), Failing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
    run = Run(EXPERIMENT, "0", 0, {"epochs": 1, "batch_size": 64}, 1, data)
    train(run, "cpu")
    server.shutdown()
    assert (run.folder / layout.WEIGHTS).exists()
    assert "Training continues" in caplog.text


def unanswering_server():
    """Return a server that takes every connection and never answers, and its address."""
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    return server, f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_never_answers_does_not_hold_up_a_training(data, monkeypatch, caplog):
    """It ends while its question is still open; nobody else could have ended the wait."""
    monkeypatch.setattr(live, "PATIENCE", 2)
    for name in ("TIMEOUT", "MAX_RETRIES"):  # connecting sets them; what was set here is put back after the test
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", "")
        monkeypatch.delenv(f"MLFLOW_HTTP_REQUEST_{name}")
    server, address = unanswering_server()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    run = Run(EXPERIMENT, "0", 0, {"epochs": 1, "batch_size": 64}, 1, data)
    with server:
        train(run, "cpu")
        assert (run.folder / layout.WEIGHTS).exists()
        assert "`fer track` will catch up" in caplog.text
        for thread in threading.enumerate():
            if thread.name == "mlflow":
                thread.join()
    assert caplog.text.count("Training continues") == 1  # after the first question it is asked nothing more


def test_track_says_in_one_line_that_a_server_does_not_answer(data, monkeypatch):
    run = Run(EXPERIMENT, "0", 0, {}, 1, data)
    run.folder.mkdir(parents=True)
    for name in entries.FILES:
        (run.folder / name).touch()
    server, address = unanswering_server()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with server, pytest.raises(FerError, match=rf"MLflow \({address}\) failed: .*fer track") as raised:
        projection.project([run])
    assert len(str(raised.value).splitlines()) == 1


@contextmanager
def mlflow_server(folder, port):
    """Run a real MLflow server on a store in a folder, and kill it with all its processes."""
    command = f"server --host 127.0.0.1 --port {port} --workers 1 --backend-store-uri sqlite:///{folder}/server.db"
    command += f" --artifacts-destination {folder}/artifacts"
    program = [sys.executable, "-m", "mlflow", *command.split()]
    with open(folder / "server.log", "a") as log:
        server = subprocess.Popen(program, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        while not responds(port):
            assert server.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.1)
        yield server
    finally:
        kill(server)


def kill(server):
    with suppress(ProcessLookupError):  # killed before
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def responds(port):
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok
    except requests.RequestException:
        return False


@pytest.mark.slow  # a server needs half a minute to start where both cores are busy
def test_a_server_killed_during_a_training_costs_it_nothing_and_track_catches_up(run, monkeypatch, caplog, tmp_path):
    undisturbed = (run.folder / layout.WEIGHTS).read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    send, seen = live.LiveRun.log, []

    with mlflow_server(tmp_path, port) as server:

        def killing(training, row):
            send(training, row)
            while not seen:  # until the first epoch is shown
                seen.extend(item for item in shown(uri) if "val_accuracy" in item.data.metrics)
            kill(server)

        monkeypatch.setattr(live.LiveRun, "log", killing)
        (run.folder / layout.WEIGHTS).unlink()
        train(run, "cpu")
    assert "Training continues" in caplog.text
    assert (run.folder / layout.WEIGHTS).read_bytes() == undisturbed
    evaluate(run.as_trained(), "cpu")
    with mlflow_server(tmp_path, port):
        (sent,) = shown(uri)
        assert sent.data.tags[entries.STATE] == "live" and sent.info.status == "RUNNING"
        assert "1 of them new" in projection.project([run])
        (current,) = shown(uri)
        assert current.data.tags[entries.STATE] == "current" and current.info.status == "FINISHED"
        assert {item.path for item in MlflowClient(uri).list_artifacts(current.info.run_id)} == set(entries.ARTIFACTS)
        assert "0 of them new" in projection.project([run])


def test_training_needs_neither_mlflow_nor_snakemake_nor_dvc(data, tmp_path):
    blocked = tmp_path / "blocked"
    for name in ("mlflow", "snakemake", "dvc"):
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text("raise ModuleNotFoundError(f'{__name__} is not here')")
    command = f"fer train {EXPERIMENT} --root {data.root} --set epochs=1 --device cpu"
    environment = {"PYTHONPATH": str(blocked), "PATH": os.environ["PATH"]}
    program = [sys.executable, "-m", "fer", *command.split()[1:]]
    result = subprocess.run(program, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow  # a server of its own, which imports MLflow twice
def test_the_champion_is_served_and_answers_an_image(own_store, run, tmp_path):
    projection.project([run])
    champion.register([run], drawn=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = f"models serve -m models:/fer2013@champion --env-manager local --host 127.0.0.1 --port {port}"
    with open(tmp_path / "serve.log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words.split()], stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until(lambda: server.poll() is not None or responds(port), 300)
        assert server.poll() is None, (tmp_path / "serve.log").read_text()
        image = np.random.default_rng(0).integers(0, 256, (1, 1, 48, 48), np.uint8)
        address = f"http://127.0.0.1:{port}/invocations"
        answer = requests.post(address, json={"inputs": {"images": image.tolist()}}, timeout=60)
        assert answer.ok, answer.text
        found = answer.json()["predictions"]["probabilities"]
        np.testing.assert_allclose(found, answers_of(run, image), atol=1e-5)
    finally:
        kill(server)
