"""What was trained is what is evaluated, and what is recorded of it is true."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import nn

from fer import devices, layout, machine, params, systems
from fer.errors import FerError
from fer.explain.passes import altered_probabilities, probabilities
from fer.layout import Layout
from fer.networks import load_network
from fer.params import Input, Recipe
from fer.runs import Run
from fer.stages import train as stage
from fer.storage import file_sha256, read_json, write_json
from fer.training.data import Part
from fer.training.prediction import predict

PROJECT = Path(__file__).parents[1]
RUN = "runs/fer2013-dnn/0.0"
LAUNCHERS = {  # a job of four tasks, the second of two processes
    "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "4", "SLURM_PROCID": "1", "SLURM_LOCALID": "1",
    "SLURM_NODELIST": "n1", "WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "nowhere.invalid",
    "MASTER_PORT": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "PMI_RANK": "1", "PMI_SIZE": "2",
    "PMIX_RANK": "1", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "none",
}  # fmt: skip


def fer(folder, *words, **environment):
    """Run `fer` in a project's folder, as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "fer", *words, "--device", "cpu"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(PROJECT)} | environment,
        text=True,
        capture_output=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def trained(learnable, tmp_path_factory):
    """A project's folder in which `fer train` ran inside a job of Slurm, MPI and torchrun."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(PROJECT / "params", folder / "params")
    shutil.copytree(learnable.root, folder, dirs_exist_ok=True)
    result = fer(folder, "train", "fer2013-dnn", "--set", "steps=30", **LAUNCHERS)
    assert result.returncode == 0 and not result.stderr, result.stderr
    return folder


@pytest.fixture
def project(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "project"))


def test_a_training_is_one_process_whatever_the_variables_of_launchers_say(trained):
    environment = read_json(trained / RUN / layout.ENVIRONMENT)
    assert (trained / RUN / layout.WEIGHTS).exists() and environment["device"] == "cpu"


def test_an_edit_of_the_parameters_after_training_does_not_change_what_is_evaluated(project):
    assert fer(project, "evaluate", "fer2013-dnn", "--corrupted", "1").returncode == 0
    before = read_json(project / RUN / layout.METRICS)["accuracy"]
    path = project / "params/systems/dnn.yaml"
    system = yaml.safe_load(path.read_text())
    system["input"]["mean"] = 0.9
    path.write_text(yaml.safe_dump(system))
    shutil.rmtree(project / "params/experiments")  # nor are they needed
    result = fer(project, "evaluate", "fer2013-dnn", "--corrupted", "1")
    assert result.returncode == 0, result.stderr
    assert read_json(project / RUN / layout.METRICS)["accuracy"] == before


def exchange_train_and_test(project):
    path = project / "data/splits/fer2013.official.parquet"
    split = pd.read_parquet(path)
    split["part"] = split["part"].replace({"train": "test", "test": "train"})
    split.to_parquet(path)
    return path


def darken_the_crops(project):
    path = project / "data/faces/fer2013.npy"
    np.save(path, np.load(path) // 2)
    return path


def relabel(project):
    path = project / "data/index/fer2013.parquet"
    index = pd.read_parquet(path)
    index.assign(label=((index["label"] + 1) % 7).astype("int8")).to_parquet(path)
    return path


@pytest.mark.parametrize("change", [exchange_train_and_test, darken_the_crops, relabel])
@pytest.mark.parametrize("command", ["evaluate", "explain"])
def test_other_data_than_the_network_was_trained_on_are_refused_by_name(project, change, command):
    path = change(project)
    result = fer(project, command, "fer2013-dnn")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {path.relative_to(project)} is not the file that {RUN} was trained with")
    assert "Train again" in line and not (project / RUN / layout.METRICS).exists()


def test_a_run_s_folder_is_all_that_its_network_needs(project, tmp_path, monkeypatch):
    elsewhere = tmp_path / "downloaded"
    elsewhere.mkdir()
    for name in (layout.WEIGHTS, layout.PARAMETERS):
        shutil.copy(project / RUN / name, elsewhere)
    monkeypatch.chdir(elsewhere)
    network, parameters = load_network(elsewhere)
    assert parameters.classes[:2] == ["angry", "disgust"] and parameters.alignment.size == 48
    assert network(torch.zeros(1, 1, parameters.input.size, parameters.input.size)).shape == (1, 7)
    (elsewhere / layout.WEIGHTS).write_bytes((elsewhere / layout.WEIGHTS).read_bytes()[:-1] + b"\1")
    with pytest.raises(FerError, match=r"weights\.safetensors is not the file that parameters\.json beside it"):
        load_network(elsewhere)


def test_a_run_of_another_version_is_read_by_what_its_file_has(project, monkeypatch):
    values = read_json(project / RUN / layout.PARAMETERS)
    for name in ("classes", "alignment", "weights", "bf16_on_cpu"):
        values.pop(name)
    values["recipe"].pop("gradient_clip")
    values["recipe"]["progressive_sizes"] = []  # of an earlier version
    values["of_a_newer_version"] = 1
    write_json(project / RUN / layout.PARAMETERS, values)
    monkeypatch.chdir(project)
    assert load_network(project / RUN)[1].classes[0] == "angry"
    for spoilt, message in (
        (values | {"input": values["input"] | {"gamma": 2}}, "unknown key 'input.gamma'"),  # it may change the answers
        ({name: value for name, value in values.items() if name != "input"}, "the key 'input' is missing"),
    ):
        write_json(project / RUN / layout.PARAMETERS, spoilt)
        with pytest.raises(FerError, match=rf"parameters\.json: {message}"):
            load_network(project / RUN)


TEACHER, STUDENT = "fer2013-attentional_cnn", "mine"


@pytest.mark.parametrize("change", [exchange_train_and_test, darken_the_crops])
def test_a_teacher_that_was_trained_on_other_data_is_refused(learnable, tmp_path, monkeypatch, change):
    shutil.copytree(learnable.root, tmp_path, dirs_exist_ok=True)
    shutil.copytree("params", tmp_path / "params")
    monkeypatch.chdir(tmp_path)
    base = yaml.safe_load(Path(f"params/experiments/{TEACHER}.yaml").read_text())
    Path("params/experiments/mine.yaml").write_text(yaml.safe_dump(base | {"teacher": TEACHER}))
    here = Layout()
    stage.train(Run(TEACHER, "0", 0, {"steps": 3}, 1, here), "cpu")
    stage.train(Run(STUDENT, "0", 0, {"steps": 3}, 1, here), "cpu")
    path = change(tmp_path).relative_to(tmp_path)
    with pytest.raises(FerError, match=f"^{path} is not the file that runs/{TEACHER}/0.0 was trained with"):
        stage.train(Run(STUDENT, "0", 0, {"steps": 3}, 1, here), "cpu")


# --- probabilities ---------------------------------------------------------------------------------------------------


class Sure(nn.Module):
    """Ends in a softmax and is sure of the first class."""

    softmax = True

    def forward(self, images):
        return torch.tensor([[1.0, 0.0, 0.0]]).expand(len(images), 3)


def test_a_network_that_ends_in_a_softmax_is_not_given_a_second_one():
    image = torch.zeros(1, 8, 8)
    assert probabilities(Sure(), image[None]).tolist() == [[1.0, 0.0, 0.0]]
    masks = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    assert altered_probabilities(Sure(), image, masks, torch.tensor(0.0)).tolist() == [[1.0, 0.0, 0.0]] * 2


@pytest.mark.parametrize("name", ["acnn_alstm", "cnn_alstm", "cnn_lstm", "resnet18_attention"])
def test_every_system_with_a_softmax_at_its_end_says_so(name):
    system = params.load_system(name)
    for softmax in (False, True):
        architecture = system.architecture | {"softmax": softmax}
        network = systems.build(name, system.model_copy(update={"architecture": architecture}), 5)
        assert network.softmax is softmax


def test_a_flip_at_test_time_averages_the_probabilities_of_a_network_that_ends_in_a_softmax():
    recipe = Recipe(epochs=1, batch_size=4, optimizer="sgd", learning_rate=1, schedule="constant", test_time_flip=True)
    part = Part(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.zeros(2).long(), np.arange(2))
    answers = predict(Sure(), part.images, Input(size=8, channels=1, mean=0, std=1), recipe)
    assert answers.tolist() == [[1.0, 0.0, 0.0]] * 2


# --- precision, versions, commit -------------------------------------------------------------------------------------


def test_the_precision_that_is_recorded_is_the_one_that_was_in_effect(data, monkeypatch):
    hashes = []
    for allowed, able, expected in ((False, True, "32-true"), (True, False, "32-true"), (True, True, "bf16-mixed")):
        monkeypatch.setattr(devices, "cpu_has_bf16", lambda able=able: able)  # torch emulates it elsewhere
        run = Run("fer2013-fer_baseline", "0", 0, {"steps": 2, "batch_size": 4}, 1, data, allowed)
        assert run.recipe.precision == "bf16-mixed"
        stage.train(run, "cpu")
        parameters, environment = (read_json(run.folder / name) for name in (layout.PARAMETERS, layout.ENVIRONMENT))
        assert parameters["recipe"]["precision"] == environment["precision"] == expected
        assert environment["threads"] == parameters["threads"] == 1 and parameters["bf16_on_cpu"] is allowed
        hashes.append(file_sha256(run.folder / layout.WEIGHTS))
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_environment_names_every_package_that_computed():
    found = machine.environment()["versions"]
    assert {"torch", "torchvision", "kornia", "numpy", "pandas", "scikit-learn", "scipy", "captum"} <= found.keys()
    assert found["torch"] == machine.environment()["torch"]


def repository(folder):
    folder.mkdir(exist_ok=True)
    (folder / "fer").mkdir(exist_ok=True)
    (folder / "fer/module.py").write_text("")
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", folder.name]):
        subprocess.run([*git, *words], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], text=True, capture_output=True).stdout.strip()


def test_the_commit_is_that_of_this_repository_with_a_mark_where_code_differs(tmp_path, monkeypatch):
    own, other = repository(tmp_path / "own"), repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))  # as in a hook of the other one
    assert own != other and machine.commit(tmp_path / "own") == own
    (tmp_path / "own/reports.md").write_text("a result is not code")
    assert machine.commit(tmp_path / "own") == own
    (tmp_path / "own/fer/mine.py").write_text("")
    assert machine.commit(tmp_path / "own") == f"{own}-dirty"


def test_an_archive_unpacked_inside_another_repository_has_no_commit(tmp_path):
    repository(tmp_path / "other")
    (tmp_path / "other/fer-main").mkdir()
    assert machine.commit(tmp_path / "other/fer-main") == machine.commit(tmp_path) == "unknown"


def test_a_folder_that_git_does_not_trust_is_warned_of_in_one_line(tmp_path, monkeypatch, caplog):
    repository(tmp_path / "own")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert machine.commit(tmp_path / "own") == "unknown"
    (record,) = caplog.records
    assert f"git config --global --add safe.directory {tmp_path / 'own'}" in record.getMessage()
