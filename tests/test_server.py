"""A shared MLflow server as docs/operations.md sets it up: PostgreSQL, artifacts through the server, passwords."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
import requests
from conftest import TINY
from mlflow import MlflowClient

from fer.tracking import entries

EXPERIMENT = "fer2013-attentional_cnn"
EPOCHS = 6
SEEDS = range(8)
PATIENCE = 1800  # seconds, for a machine at work
PASSWORD = "correct horse battery"  # MLflow asks for twelve characters

# One `fer train` a seed, at once, each in a process of its own and shown live from its first epoch; what they import is
# imported once. Each epoch waits until the test lets it pass.
PACED = """
import multiprocessing
import sys
import time
from pathlib import Path

import mlflow
from fer.__main__ import main
from fer.stages import train
from fer.tracking import live

live.LIVE_AFTER, live.AGAIN, live.PATIENCE = 0, 1, 300
send = live.LiveRun.log


def paced(training, row):
    send(training, row)
    Path("pace", f"{training.run.seed}.{row['epoch']}").touch()
    while not Path("pace", f"pass.{row['epoch']}").exists():
        time.sleep(0.1)


def start(seed):
    sys.argv = ["fer", "train", *sys.argv[2:], "--seed", str(seed)]
    main()


live.LiveRun.log = paced
trainings = [multiprocessing.get_context("fork").Process(target=start, args=[seed]) for seed in range(int(sys.argv[1]))]
for training in trainings:
    training.start()
for training in trainings:
    training.join()
sys.exit(any(training.exitcode for training in trainings))
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def postgresql(name):
    """Return a program of PostgreSQL, which Debian keeps off PATH; None where it is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ["PATH"]]))


@pytest.fixture
def database():
    """The address of an empty database of a PostgreSQL of its own, which is stopped and deleted after the test."""
    if not postgresql("initdb"):
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    if missing := [name for name in ("psycopg2", "flask_wtf") if not find_spec(name)]:
        pytest.skip(f"pip install -e '.[server]' (without {', '.join(missing)})")
    # PostgreSQL refuses root, and others cannot enter pytest's folders
    account = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="fer-postgresql-") as name:
        folder, port = Path(name), free_port()
        (folder / "password").write_text(PASSWORD)
        if account:
            for path in (folder, folder / "password"):
                shutil.chown(path, account["user"], account["group"])
        words = "--username fer --auth scram-sha-256 --encoding UTF8 --locale C --no-sync --pwfile"
        create = [postgresql("initdb"), "--pgdata", folder / "data", *words.split(), folder / "password"]
        subprocess.run(create, check=True, cwd=folder, stdout=subprocess.DEVNULL, **account)
        words = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = open(folder / "log", "w")  # noqa: SIM115
        program = [postgresql("postgres"), "-D", folder / "data", *words.split()]
        server = subprocess.Popen(program, cwd=folder, stdout=log, stderr=log, **account)
        try:
            ready = [postgresql("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            wait_until(lambda: server.poll() is not None or not subprocess.run(ready).returncode)
            assert server.poll() is None, (folder / "log").read_text()
            address = f"postgresql://fer:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{port}"
            sql = [postgresql("psql"), "-q", f"{address}/postgres", "-c", "CREATE DATABASE mlflow"]
            subprocess.run(sql, check=True)
            yield f"{address}/mlflow"
        finally:
            server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
            server.wait()
            log.close()


class Server:
    """An MLflow server on a database, with users; it can be killed with its workers and started again."""

    def __init__(self, folder, database):
        self.folder, self.port, self.process = folder, free_port(), None
        self.address = f"http://127.0.0.1:{self.port}"
        settings = {
            "default_permission": "MANAGE",
            "database_uri": database.replace("%", "%%"),
            "admin_username": "admin",
        }
        settings["authorization_function"] = "mlflow.server.auth:authenticate_request_basic_auth"
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        (folder / "users.ini").write_text("[mlflow]\n" + "".join(lines))
        self.environment = os.environ | {
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "users.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "of this test",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes for what nobody uses here
        }
        words = (
            f"server --app-name basic-auth --artifacts-destination {folder}/artifacts --workers 1 --port {self.port}"
        )
        self.program = [sys.executable, "-m", "mlflow", *words.split(), "--backend-store-uri", database]

    def start(self):
        with open(self.folder / "server.log", "a") as log:
            options = {"cwd": self.folder, "env": self.environment, "stdout": log, "stderr": log}
            self.process = subprocess.Popen(self.program, start_new_session=True, **options)
        wait_until(lambda: self.process.poll() is not None or self.responds())
        assert self.process.poll() is None, (self.folder / "server.log").read_text()

    def kill(self):
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def responds(self):
        with suppress(requests.RequestException):
            return requests.get(f"{self.address}/health", timeout=5).ok

    def ask(self, path, user="admin", **content):
        """Call the server's REST interface as a user."""
        answer = requests.post(f"{self.address}/api/2.0/mlflow/{path}", json=content, auth=(user, PASSWORD), timeout=60)
        assert answer.ok, answer.text
        return answer.json()

    def runs(self):
        """Return what the server shows of folds and seeds, by owner and seed."""
        client = MlflowClient(self.address)
        experiment = client.get_experiment_by_name("fer2013")
        found = client.search_runs([experiment.experiment_id]) if experiment else []
        return {(run.data.tags[entries.OWNER], run.data.tags["seed"]): run for run in found if "seed" in run.data.tags}

    def epochs(self, run):
        points = MlflowClient(self.address).get_metric_history(run.info.run_id, "val_accuracy")
        return sorted(point.step for point in points)


@contextmanager
def serving(folder, database):
    server = Server(folder, database)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def wait_until(true, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


def study(seeds):
    return TINY | {"experiments": {EXPERIMENT: {"epochs": EPOCHS}}, "seeds": list(seeds)}


@pytest.mark.slow
def test_eight_trainings_outlive_a_restart_of_the_server_that_two_checkouts_share(
    database, make_clone, learnable, tmp_path, monkeypatch
):
    anna, ben = make_clone(study(SEEDS)), make_clone(study([0]))
    with serving(tmp_path, database) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        for name, clone in (("anna", anna), ("ben", ben)):
            server.ask("users/create", username=name, password=PASSWORD)
            clone.environment |= {"MLFLOW_TRACKING_URI": server.address, "MLFLOW_TRACKING_USERNAME": name}
            clone.environment |= {"MLFLOW_TRACKING_PASSWORD": PASSWORD, "MLFLOW_HTTP_REQUEST_TIMEOUT": "300"}
            shutil.copytree(learnable.root, clone.folder, dirs_exist_ok=True)

        run = f"runs/{EXPERIMENT}/0.0"
        words = f"{EXPERIMENT} --device cpu"
        ben.run(f"fer train {words} --set epochs={EPOCHS} && fer evaluate {words}")
        assert "1 of them new" in ben.run("fer track").stdout
        (of_ben,) = server.runs().values()

        (anna.folder / "pace").mkdir()
        (anna.folder / "paced.py").write_text(PACED)

        def reach(epoch):
            """Let the trainings pass the epochs before this one, and wait until it is behind them."""
            for each in range(epoch):
                (anna.folder / "pace" / f"pass.{each}").touch()
            reached = [anna.folder / "pace" / f"{seed}.{epoch}" for seed in SEEDS]
            wait_until(lambda: trainings.poll() is not None or all(each.exists() for each in reached))
            assert trainings.poll() is None, (anna.folder / "trainings.log").read_text()

        def live():
            """Return the runs of the other checkout, once all eight are shown."""
            shown = [entry for (owner, _), entry in server.runs().items() if owner != of_ben.data.tags[entries.OWNER]]
            return shown if len(shown) == len(SEEDS) else []

        with open(anna.folder / "trainings.log", "w") as log:
            program = [sys.executable, "paced.py", str(len(SEEDS)), *words.split(), "--set", f"epochs={EPOCHS}"]
            options = {"cwd": anna.folder, "env": anna.environment, "stdout": log, "stderr": log}
            trainings = subprocess.Popen(program, start_new_session=True, **options)
        try:
            reach(1)
            wait_until(lambda: [server.epochs(entry) for entry in live()] == [[0, 1]] * len(SEEDS))
            before = {entry.info.run_id for entry in live()}
            assert "1 run in MLflow" in (said := ben.run("fer track").stdout) and "0 of them new" in said
            assert "retired" not in said and {entry.info.status for entry in live()} == {"RUNNING"}

            server.kill()
            reach(3)
            server.start()
            wait_until(lambda: [server.epochs(entry) for entry in live()] == [[0, 1, 2, 3]] * len(SEEDS))
            assert {entry.info.status for entry in live()} == {"RUNNING"}

            for epoch in range(EPOCHS):
                (anna.folder / "pace" / f"pass.{epoch}").touch()
            assert trainings.wait(PATIENCE) == 0, (anna.folder / "trainings.log").read_text()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(trainings.pid, signal.SIGKILL)
        assert [server.epochs(entry) for entry in live()] == [list(range(EPOCHS))] * len(SEEDS)
        assert {entry.info.status for entry in live()} == {"FINISHED"}
        assert {entry.info.run_id for entry in live()} == before
        assert (anna.folder / run / "weights.safetensors").read_bytes() == (
            ben.folder / run / "weights.safetensors"
        ).read_bytes()

        anna.edit("params/study.yaml", seeds=[0, 1])
        anna.run(" && ".join(f"fer evaluate {words} --seed {seed}" for seed in (0, 1)))
        assert "2 runs in MLflow" in (said := anna.run("fer track").stdout) and "2 of them new" in said
        shown = server.runs()
        assert len(shown) == 3 and shown[of_ben.data.tags[entries.OWNER], "0"].info.run_id == of_ben.info.run_id
        assert not before & {entry.info.run_id for entry in shown.values()}
        assert of_ben.info.artifact_uri.startswith("mlflow-artifacts:")
        got = MlflowClient(server.address).download_artifacts(of_ben.info.run_id, "metrics.json", str(tmp_path))
        assert Path(got).read_bytes() == (ben.folder / run / "metrics.json").read_bytes()
        assert list((tmp_path / "artifacts").rglob("metrics.json"))

        anna.edit("params/study.yaml", seeds=[1])
        assert "1 retired" in anna.run("fer track").stdout
        assert "0 of them new" in (said := ben.run("fer track").stdout) and "retired" not in said
        assert {seed for _, seed in server.runs()} == {"0", "1"}

        ben.environment["MLFLOW_TRACKING_PASSWORD"] = "wrong"
        refused = ben.run("fer track", ok=False)
        assert refused.returncode == 2 and len(refused.stdout.splitlines()) == 1 and "401" in refused.stdout
