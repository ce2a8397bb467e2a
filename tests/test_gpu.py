"""On a GPU: every system trains, the stages answer as on the CPU, trainings resume and share it. Run with -m gpu."""

import subprocess
import sys
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
import torch
from networks import build, images
from torch.nn import functional

from fer import layout, params
from fer.runs import Run
from fer.stages.evaluate import evaluate
from fer.stages.explain import explain
from fer.stages.train import train
from fer.storage import read_json

pytestmark = pytest.mark.gpu
DEVICE = "cuda"
EXPERIMENT = "fer2013-attentional_cnn"
SYSTEMS = sorted(path.stem for path in params.FOLDER.joinpath("systems").glob("*.yaml"))


@pytest.fixture
def trained(data):
    run = Run(EXPERIMENT, "0", 0, {"epochs": 12, "batch_size": 20}, 1, data)
    train(run, DEVICE)
    return run.as_trained()


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_answers_and_learns_on_a_gpu_as_on_the_cpu(name):
    network, batch, labels = build(name).eval(), images(name, build(name)), torch.tensor([0, 1, 2, 3])
    expected = network(batch).detach()
    network.to(DEVICE)
    assert torch.allclose(network(batch.to(DEVICE)).cpu(), expected, atol=0.01 * float(expected.abs().max()))
    network.train()
    functional.cross_entropy(network(batch.to(DEVICE)), labels.to(DEVICE)).backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients and all(torch.isfinite(gradient).all() for gradient in gradients)


def test_evaluation_on_a_gpu_gives_the_answers_of_the_cpu(trained):
    answers = {}
    for device in (DEVICE, "cpu"):
        evaluate(trained, device)
        answers[device] = pd.read_parquet(trained.folder / layout.PREDICTIONS)
    assert (answers[DEVICE]["predicted"] == answers["cpu"]["predicted"]).mean() > 0.97
    figures = answers["cpu"].select_dtypes("floating").columns
    assert len(figures) and np.allclose(answers[DEVICE][figures], answers["cpu"][figures], atol=0.02)


def test_an_explanation_on_a_gpu_finds_what_one_on_the_cpu_finds(trained):
    found = {}
    for device in (DEVICE, "cpu"):
        explain(trained, device, {"samples": 1, "stride": 1.0, "steps": 4})
        found[device] = read_json(trained.layout.explanation(EXPERIMENT))
    assert found[DEVICE].keys() == found["cpu"].keys()
    assert trained.layout.figure(EXPERIMENT, "explain").exists()


def command(data, seed, *words):
    program = [sys.executable, "-m", "fer", "train", EXPERIMENT, "--root", str(data.root), "--seed", str(seed)]
    return subprocess.Popen([*program, "--device", DEVICE, *words], stderr=subprocess.PIPE, text=True)


def test_several_seeds_train_on_one_gpu_at_once(data):
    trainings = [command(data, seed, "--set", "epochs=12", "--set", "batch_size=20") for seed in range(3)]
    said = [training.communicate()[1] for training in trainings]
    assert [training.returncode for training in trainings] == [0, 0, 0], said
    for seed in range(3):
        folder = data.run(EXPERIMENT, "0", seed)
        assert pd.read_csv(folder / layout.HISTORY)["val_accuracy"].max() > 0.6
        assert ("cuda" in read_json(folder / layout.ENVIRONMENT)) == (DEVICE == "cuda")


def test_a_training_killed_on_a_gpu_resumes_and_learns(data):
    words = ("--set", "epochs=60", "--set", "batch_size=20", "--checkpoint-seconds", "0")
    killed, folder = command(data, 0, *words), data.run(EXPERIMENT, "0", 0)
    while killed.poll() is None and not list(folder.glob("*.checkpoint")):
        with suppress(subprocess.TimeoutExpired):
            killed.wait(0.05)
    killed.kill()
    killed.communicate()
    assert not (folder / layout.WEIGHTS).exists()
    resumed = command(data, 0, *words)
    said = resumed.communicate()[1]
    assert resumed.returncode == 0 and "resumed after epoch" in said, said
    history = pd.read_csv(folder / layout.HISTORY)
    assert history["epoch"].tolist() == list(range(60)) and history["val_accuracy"].max() > 0.6
