"""What a folder is, as people have it: cloned, copied, moved, unpacked in another repository, on two disks."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT
from mlflow import MlflowClient

from fer.checkout import OWNER, obstacle, owner
from fer.layout import Layout
from fer.runs import Run
from fer.stages.evaluate import evaluate
from fer.stages.train import train
from fer.storage import read_json
from fer.tracking import entries, projection

EXPERIMENT = "fer2013-attentional_cnn"
OVERRIDES = {"epochs": 1, "batch_size": 64}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder: a git repository of its own with `.dvc/`, and nothing else."""
    path = tmp_path / "fär er"
    (path / ".dvc").mkdir(parents=True)
    (path / ".git").mkdir()
    monkeypatch.chdir(path)
    return path


# --- recording ------------------------------------------------------------------------------------------------------


def linked(folder, name):
    target = folder.parent / "large disk" / name
    target.mkdir(parents=True)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).symlink_to(target)


def configured(folder, text):
    (folder / ".dvc/config.local").write_text(text)


SPOILT = {
    "an archive inside another repository": (lambda folder: (folder / ".git").rmdir(), "git init"),
    "no .dvc": (lambda folder: (folder / ".dvc").rmdir(), "dvc init"),
    "data on another disk": (lambda folder: linked(folder, "studies/tiny/data"), "dvc cache dir"),
    "one stage on another disk": (
        lambda folder: linked(folder, "studies/tiny/data/raw"),
        "tiny/data/raw is a link",
    ),
    "all studies on another disk": (lambda folder: linked(folder, "studies"), "studies is a link"),
    "runs on a disk that is not there": (
        lambda folder: (linked(folder, "studies/tiny/runs"), (folder.parent / "large disk/studies/tiny/runs").rmdir()),
        "tiny/runs is a link",
    ),
    "a configuration with a conflict": (lambda folder: configured(folder, "<<<<<<< HEAD\n[cache]\n"), "cannot be read"),
    "a cache nobody may write": (
        lambda folder: configured(folder, "[cache]\n    dir = /dev/null/cache\n"),
        "/dev/null/cache",
    ),
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_what_keeps_dvc_from_recording_is_said_in_one_line_with_the_way_out(folder, spoil):
    assert obstacle(Path("studies/tiny")) is None
    change, said = SPOILT[spoil]
    change(folder)
    reason = obstacle(Path("studies/tiny"))
    assert said in reason and "\n" not in reason


def test_a_link_to_a_place_inside_the_checkout_keeps_nothing_from_being_recorded(folder):
    (folder / "store").mkdir()
    (folder / "data").symlink_to("store")
    assert obstacle(Path()) is None


def test_a_clone_has_the_same_bytes_whatever_git_makes_of_line_endings(make_clone, tmp_path):
    clone = make_clone()
    for setting in ("core.autocrlf=true", "core.eol=crlf"):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        command = ["git", "clone", "-q", "-c", setting, str(clone.folder), str(tmp_path / "copy")]
        subprocess.run(command, check=True)
        for name in ("params/systems/dnn.yaml", "fer/layout.py", "Snakefile"):
            assert (tmp_path / "copy" / name).read_bytes() == (clone.folder / name).read_bytes(), name


def test_git_ignores_what_a_study_makes_wherever_its_root_lies():
    made = [
        f"{root}{name}/x"
        for root in ("", "studies/tiny/", "studies/of mine/tiny/")
        for name in ("data", "runs", "logs", "reports", ".fer")
    ]
    result = subprocess.run(["git", "check-ignore", *made], cwd=PROJECT, text=True, capture_output=True)
    assert result.stdout.replace('"', "").splitlines() == made


@pytest.mark.parametrize("home", [None, "/nowhere"])
def test_make_gives_a_user_without_a_name_a_name_and_a_home_that_can_be_written(home):
    environment = {"PATH": os.environ["PATH"]} | ({"HOME": home} if home else {})
    command = ["make", "-s", "--eval", "show: ; @echo $$USER $$HOME", "show"]
    result = subprocess.run(command, cwd=PROJECT, env=environment, text=True, capture_output=True)
    assert result.stdout.split() == [f"uid-{os.getuid()}", f"{PROJECT}/.fer/home"], result.stderr


# --- ownership ------------------------------------------------------------------------------------------------------


def test_a_moved_checkout_keeps_its_owner_and_a_copy_has_one_of_its_own(folder, monkeypatch):
    first = owner()
    assert owner() == first
    moved = folder.rename(folder.with_name("moved"))
    monkeypatch.chdir(moved)
    assert owner() == first
    for name, copy in {
        "copied": lambda target: shutil.copytree(moved, target),
        "linked": lambda target: shutil.copytree(moved, target, copy_function=os.link),
    }.items():
        copy(folder.with_name(name))
        monkeypatch.chdir(folder.with_name(name))
        assert owner().name != first.name and owner().former == (first.name,)
    monkeypatch.chdir(moved)
    assert owner() == first


def test_processes_that_ask_at_once_agree_on_one_owner(folder):
    program = "from fer.checkout import owner; print('ready', flush=True); input(); print(owner().name)"
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    asking = [subprocess.Popen([sys.executable, "-c", program], env=environment, **options) for _ in range(4)]
    assert [process.stdout.readline() for process in asking] == ["ready\n"] * 4
    for process in asking:
        process.stdin.write("\n")
        process.stdin.flush()
    assert {process.communicate()[0].strip() for process in asking} == {owner().name}


WHOLE = '{"owner": "a", "former": [], "folder": "/x", "inode": 1}'
NOTES = {
    "nothing": "", "null": "null", "a number": "5", "a text": '"owner"', "a list": '["owner"]', "no key": "{}",
    "half a file": WHOLE[: len(WHOLE) // 2], "former null": WHOLE.replace("[]", "null"), "bytes": "\0\0\0",
    "owner a number": WHOLE.replace('"a"', "5"), "folder null": WHOLE.replace('"/x"', "null"),
}  # fmt: skip


@pytest.mark.parametrize("note", NOTES)
def test_a_damaged_note_of_the_owner_is_written_anew(folder, note):
    OWNER.parent.mkdir()
    OWNER.write_text(NOTES[note])
    assert owner() == owner()
    assert read_json(OWNER)["owner"] == owner().name


# --- MLflow of several checkouts ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(learnable, tmp_path_factory):
    """A checkout with one finished run and the parameters, which commands can run in."""
    path = tmp_path_factory.mktemp("finished") / "fer"
    shutil.copytree(PROJECT / "params", path / "params")
    shutil.copytree(learnable.root, path, dirs_exist_ok=True)
    study = "name: tiny\nexperiments: {fer2013-attentional_cnn: {epochs: 1, batch_size: 64}}\nseeds: [0]\n"
    (path / "params/study.yaml").write_text(study)
    with contextlib.chdir(path):
        run = the_run()
        train(run, "cpu")
        evaluate(run.as_trained(), "cpu")
    return path


def the_run(root="."):
    return Run(EXPERIMENT, "0", 0, OVERRIDES, 1, Layout(Path(root)))


@pytest.fixture
def checkout(finished, tmp_path, monkeypatch):
    """A copy of the finished checkout as the working folder, with a store of its own."""
    shutil.copytree(finished, tmp_path / "one" / "fer")
    monkeypatch.chdir(tmp_path / "one" / "fer")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", own_store())
    return tmp_path / "one" / "fer"


def own_store():
    """The store in the working folder, in full: MLflow would take one process's relative ones for the same."""
    return f"sqlite:///{Path.cwd()}/mlflow.db"


def shown(uri, **wanted):
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("fer2013").experiment_id])
    runs = [run for run in runs if wanted.items() <= run.data.tags.items()]
    return {run.info.run_id: run for run in runs}


def test_artifacts_are_opened_where_the_checkout_lies_after_a_move_and_in_a_copy(checkout, tmp_path, monkeypatch):
    projection.project([the_run()])
    moved = checkout.rename(tmp_path / "mövéd away")
    shutil.copytree(moved, tmp_path / "copy")
    for place in (moved, tmp_path / "copy"):
        monkeypatch.chdir(place)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", own_store())
        program = (
            "from mlflow import MlflowClient; client = MlflowClient('sqlite:///mlflow.db');"
            "found = client.search_runs([client.get_experiment_by_name('fer2013').experiment_id]);"
            "[run] = [run for run in found if '/' in run.data.tags['fer.key']];"
            "print(open(client.download_artifacts(run.info.run_id, 'metrics.json')).read())"
        )
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert result.stdout.strip() == (place / the_run().folder / "metrics.json").read_text().strip(), result.stderr
        assert "0 of them new" in projection.project([the_run()])
        assert len(shown(own_store())) == 2  # the run and its parent


def test_checkouts_and_studies_that_share_a_store_never_touch_one_another_s_runs(checkout, tmp_path, monkeypatch):
    uri = f"sqlite:///{tmp_path}/shared.db?timeout=30"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    projection.project([the_run()])
    shutil.copytree(checkout, tmp_path / "two" / "fer")
    monkeypatch.chdir(tmp_path / "two" / "fer")
    assert "1 of them new" in projection.project([the_run()])
    for root in ("studies/run_1", "studies/run11"):
        shutil.copytree("runs", f"{root}/runs")
        projection.project([the_run(root)])
    assert len(shown(uri)) == 2 * 4
    assert "1 retired" in projection.project([], Path("studies/run_1"))
    assert len(shown(uri)) == 2 * 3 and len(shown(uri, **{entries.ROOT: "studies/run11"})) == 2
    assert [path.name for path in tmp_path.glob("*.lock")] + [path.name for path in tmp_path.glob(".*")] == []


def test_more_runs_than_a_page_of_mlflow_holds_are_retired(checkout, monkeypatch):
    projection.project([the_run()])
    search = MlflowClient.search_runs
    monkeypatch.setattr(
        MlflowClient, "search_runs", lambda *given, **named: search(*given, **named, max_results=1)
    )  # pages of one run
    assert "0 of them new, 1 retired" in projection.project([])


def test_what_was_deleted_in_the_page_is_shown_again(checkout):
    projection.project([the_run()])
    client = MlflowClient(own_store())
    client.delete_experiment(client.get_experiment_by_name("fer2013").experiment_id)
    assert "0 of them new" in projection.project([the_run()])
    parent = next(run for run in shown(own_store()).values() if entries.PARENT not in run.data.tags)
    client.delete_run(parent.info.run_id)
    projection.project([the_run()])
    (again,) = [run for run in shown(own_store()).values() if entries.PARENT not in run.data.tags]
    (child,) = [run for run in shown(own_store()).values() if entries.PARENT in run.data.tags]
    assert child.data.tags[entries.PARENT] == again.info.run_id != parent.info.run_id
    shutil.rmtree("mlruns")
    assert "1 of them new" in projection.project([the_run()])


def test_a_run_in_mlflow_has_its_dataset_its_source_and_its_parent_s_description(checkout):
    projection.project([the_run()])
    runs = shown(own_store()).values()
    (child,) = [run for run in runs if entries.PARENT in run.data.tags]
    (parent,) = [run for run in runs if entries.PARENT not in run.data.tags]
    assert child.info.run_name == "attentional_cnn · fold 0 · seed 0" and parent.info.run_name == "attentional_cnn"
    (given,) = child.inputs.dataset_inputs
    assert given.dataset.name == "fer2013" and "official" in given.dataset.profile and len(given.dataset.digest) == 16
    assert child.data.tags["mlflow.source.name"] == f"fer train {EXPERIMENT} --fold 0 --seed 0"
    assert child.data.tags["weights.path"] == f"runs/{EXPERIMENT}/0.0/weights.safetensors"
    assert (
        "Published: " in parent.data.tags[entries.NOTE]
        and "The study changes: epochs = 1" in parent.data.tags[entries.NOTE]
    )


SILENT = "0123456789abcdef"  # a password that no message may show
ADDRESSES = {
    '"http://localhost:5000"': "set it without them: http://localhost:5000",
    "'sqlite:///mlflow.db'": "set it without them: sqlite:///mlflow.db",
    "databricks": "Databricks is not supported. Set sqlite:///mlflow.db",
    "http://localhost:5000/#/experiments/1": "nothing after # or ?. Set http://localhost:5000",
    "https://localhost:5000?workspace=x": "nothing after # or ?. Set https://localhost:5000",
    "http://localhost:port": "not a valid address",
    "${TRACKING}": "a variable in it was not replaced",
    "http//localhost:5000": "http://HOST:PORT",
    f"postgresql://localhost/x?user=me&password={SILENT}": "psycopg2-binary",
    "SQLite:///params": "params is a folder",
    "file:./mlruns": "MLFLOW_ALLOW_FILE_STORE=true",
    "./mlruns": "sqlite:///mlflow.db",
    "/tmp/mlruns": "sqlite:///mlflow.db",
    f"postgresql://me:{SILENT}@localhost/x": "psycopg2-binary",
    f"mysql+pymysql://me:{SILENT}@localhost/x": "pip install pymysql",
    "mongodb://localhost/x": "sqlite:///mlflow.db",
    "localhost:5000": "http://localhost:5000",
    "http://": "http://HOST:PORT",
    "sqlite:mlflow.db": "sqlite:///mlflow.db",
    "sqlite:///params": "params is a folder",
    "sqlite:///params/study.yaml": "params/study.yaml is not an SQLite database",
    "sqlite:////dev/null/fer/mlflow.db": "cannot be written",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_that_is_not_one_of_a_store_is_one_line_with_variable_value_and_way_out(checkout, address):
    environment = os.environ | {"MLFLOW_TRACKING_URI": address, "PYTHONPATH": str(PROJECT)}
    program = [sys.executable, "-m", "fer", "track"]
    result = subprocess.run(program, env=environment, capture_output=True, text=True)
    (line,) = (result.stdout + result.stderr).splitlines()
    assert result.returncode == 2 and f"MLFLOW_TRACKING_URI={address.replace(SILENT, '***')}" in line
    assert ADDRESSES[address] in line and SILENT not in line
    assert not list(checkout.glob(".*lock"))
