"""The network that a training starts from fits, or is refused before anything else is done."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from fer import params, systems
from fer.errors import FerError
from fer.layout import PARAMETERS, WEIGHTS, Layout
from fer.params import RunParameters
from fer.runs import Run
from fer.starting import require_start, require_starts
from fer.storage import read_json, write_json

EXPERIMENT, RELEASED = "jaffe-fer_baseline", Path("fer/pretrained/fer2013-fer_baseline")


def released(folder: Path, **changes) -> Path:
    """Write a run like the released one, with random weights; `changes` are those of its parameters' sections."""
    values = read_json(RELEASED / PARAMETERS)
    for section, change in changes.items():
        values[section] = values[section] | change
    values.pop("weights")
    described = RunParameters.model_validate(values)
    folder.mkdir(parents=True)
    save_file(systems.build(described.system, described, len(described.classes)).state_dict(), folder / WEIGHTS)
    write_json(folder / PARAMETERS, values)
    return folder


def train(*words):
    """Run `fer train` where there are no data."""
    command = [sys.executable, "-m", "fer", "train", *map(str, words), "--device", "cpu"]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": {"width": 24}}, "Trained with architecture.width 24, here 40: size mismatch for features."),
        ({"input": {"channels": 3}}, "Trained with input.channels 3, here 1: size mismatch for features.0.weight"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_data_are_read(tmp_path, changes, said):
    start = released(tmp_path / "kept", **changes)
    result = train(EXPERIMENT, "--fold", "KA", "--set", f"start_from={start}", "--root", tmp_path / "empty")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert f"{EXPERIMENT}: start_from: the weights in {start} do not fit the network to train" in result.stderr
    assert said in result.stderr and "Give a run whose network is the same" in result.stderr
    assert not (tmp_path / "empty").exists()


def test_a_network_of_other_options_whose_weights_have_the_same_shapes_fits(tmp_path):
    start = released(tmp_path / "kept", architecture={"dropout": 0.1}, input={"size": 44})
    require_start(Run(EXPERIMENT, "KA", 0, {"start_from": str(start)}, 1, Layout(tmp_path)))


def test_a_network_of_another_system_is_refused_before_data_are_read(tmp_path):
    words = ["--fold", "KA", "--set", f"start_from={RELEASED}", "--root", tmp_path / "empty"]
    result = train("jaffe-attentional_cnn", *words)
    assert result.returncode == 2 and "holds a network of fer_baseline, this run trains one of att" in result.stderr


def test_the_weights_of_a_backbone_are_refused_before_data_are_read(tmp_path):
    words = ["--set", f"weights={tmp_path / 'none.pth'}", "--root", tmp_path / "empty"]
    result = train("rafdb-local_global_resnet50", *words)
    assert result.returncode == 2 and "neither random, nor imagenet, nor an existing file" in result.stderr
    torch.save({"conv1.weight": torch.zeros(2)}, tmp_path / "none.pth")
    result = train("rafdb-local_global_resnet50", *words)
    assert result.returncode == 2 and "none.pth does not hold the weights of this backbone" in result.stderr


@pytest.mark.parametrize("engine", ["snakemake -n --config study={}", "workflow/scripts/engines.py inputs --study {}"])
def test_a_study_whose_start_does_not_fit_is_refused_by_both_engines_before_any_job(tmp_path, engine):
    start, file = released(tmp_path / "kept", architecture={"width": 24}), tmp_path / "study.yaml"
    study = {"name": "mine", "root": "studies/refused", "seeds": [0]}
    file.write_text(yaml.safe_dump(study | {"experiments": {EXPERIMENT: {"start_from": str(start)}}}))
    words = engine.format(file).split()
    command = [sys.executable, *(["-m"] if words[0] == "snakemake" else []), *words]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode and "Trained with architecture.width 24, here 40" in result.stdout + result.stderr
    assert not Path("studies/refused").exists()


def test_a_start_that_the_study_itself_trains_or_that_is_not_there_yet_is_left_to_its_trainings(tmp_path, monkeypatch):
    own = released(tmp_path / "mine/runs/fer2013-fer_baseline/0.0", architecture={"width": 24})
    fetched = released(tmp_path / "fetched", architecture={"width": 24})
    (fetched / WEIGHTS).unlink()  # as in a clone whose artifacts were not fetched
    shutil.copytree("params", tmp_path / "params")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong").mkdir()
    for start in (own, tmp_path / "later", fetched):
        experiments = {"fer2013-fer_baseline": None, EXPERIMENT: {"start_from": str(start)}}
        require_starts(params.Study(name="mine", root="mine", seeds=[0], experiments=experiments))
    experiments = {EXPERIMENT: {"start_from": str(tmp_path / "wrong")}}
    with pytest.raises(FerError, match="wrong is not the folder of a trained run"):
        require_starts(params.Study(name="mine", root="mine", seeds=[0], experiments=experiments))
