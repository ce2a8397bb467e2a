"""The training loop and its stage: repeatable, resumable, and blind to the test part."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from fer import layout
from fer.devices import describe
from fer.errors import FerError
from fer.faces.fitting import fit
from fer.params import Augmentation, Input, Recipe
from fer.runs import Run
from fer.stages import train as stage
from fer.storage import read_json
from fer.systems import build
from fer.training.augmentation import augmenter
from fer.training.checkpoint import Checkpoint, State
from fer.training.data import Part, load_part, normalise
from fer.training.prediction import predict
from fer.training.schedule import make_scheduler

EXPERIMENT = "fer2013-attentional_cnn"
CPU = describe(torch.device("cpu"), "32-true") | {"threads": 1}


def make_run(data, seed=0, name=EXPERIMENT, **overrides):
    return Run(name, "0", seed, {"epochs": 2, "batch_size": 64} | overrides, 1, data)


def contents(run):
    return [(run.folder / name).read_bytes() for name in (layout.WEIGHTS, layout.HISTORY, layout.PARAMETERS)]


def test_the_same_seed_gives_the_same_weights_to_the_bit(data):
    run = make_run(data)
    stage.train(run, "cpu")
    first = contents(run)
    stage.train(run, "cpu")
    assert contents(run) == first


def test_another_seed_gives_other_weights(data):
    stage.train(make_run(data, seed=0), "cpu")
    stage.train(make_run(data, seed=1), "cpu")
    assert contents(make_run(data, seed=0))[0] != contents(make_run(data, seed=1))[0]


@pytest.mark.parametrize(("stop_after", "seconds"), [(0, 60), (1, 60), (1, 0)])
def test_an_interrupted_training_resumes_to_bit_identical_weights(data, monkeypatch, stop_after, seconds):
    run = make_run(data, epochs=3)
    stage.train(run, "cpu")
    undisturbed = contents(run)
    (run.folder / layout.WEIGHTS).unlink()

    def interrupt(live, row):
        if row["epoch"] == stop_after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage.LiveRun, "log", interrupt)
        with pytest.raises(KeyboardInterrupt):
            stage.train(run, "cpu", seconds)
    assert not (run.folder / layout.WEIGHTS).exists()
    epochs = []
    monkeypatch.setattr(stage.LiveRun, "log", lambda live, row: epochs.append(row["epoch"]))
    stage.train(run, "cpu")
    assert epochs == list(range(stop_after + 1, 3))
    assert contents(run) == undisturbed
    assert not list(run.folder.glob("*.checkpoint"))


def test_the_seconds_of_a_training_are_those_of_all_its_attempts(data, monkeypatch):
    run = make_run(data, epochs=2)

    def interrupt(live, row):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage.LiveRun, "log", interrupt)
        stage.train(run, "cpu", 0)
    (path,) = run.folder.glob("*.checkpoint")
    saved = torch.load(path, weights_only=True)
    assert 0 < saved["seconds"] < 1000
    torch.save(saved | {"seconds": 1000.0}, path)
    stage.train(run, "cpu")
    assert read_json(run.folder / layout.ENVIRONMENT)["seconds"] > 1000


def test_ctrl_c_in_the_middle_of_an_epoch_keeps_the_whole_ones_before_it(data, monkeypatch):
    run = make_run(data, epochs=3, average_weights=0.9)
    stage.train(run, "cpu")
    undisturbed, steps = contents(run), []

    def interrupt(*arguments):
        steps.append(None)
        if len(steps) == 13:  # of five an epoch
            raise KeyboardInterrupt
        return clip(*arguments)

    clip = torch.nn.utils.clip_grad_norm_
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(torch.nn.utils, "clip_grad_norm_", interrupt)
        stage.train(run, "cpu")
    epochs = []
    monkeypatch.setattr(stage.LiveRun, "log", lambda live, row: epochs.append(row["epoch"]))
    stage.train(run, "cpu")
    assert epochs == [2] and contents(run) == undisturbed


def test_a_checkpoint_is_written_when_its_seconds_have_passed_and_after_the_last_epoch(tmp_path):
    network = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    state = State(network, optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer), None)
    seldom, always = Checkpoint(tmp_path / "seldom"), Checkpoint(tmp_path / "always", seconds=0)
    for checkpoint in (seldom, always):
        checkpoint.keep(state, last=False)
    assert [path.name for path in tmp_path.iterdir()] == ["always"]
    seldom.keep(state, last=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["always", "seldom"]


def test_a_checkpoint_of_another_training_is_not_resumed(data):
    run, longer = make_run(data), make_run(data, epochs=4)
    run.folder.mkdir(parents=True)
    path = stage.resume_point(run, CPU)
    for other, computed_on in (
        (longer, CPU),
        (run, CPU | {"precision": "bf16-mixed"}),
        (run, CPU | {"device": "a GPU"}),
    ):
        path.write_bytes(b"of the run with two epochs")
        assert path == stage.resume_point(run, CPU) and path.exists()
        assert stage.resume_point(other, computed_on) != path
        assert not path.exists()


def test_a_checkpoint_of_another_version_of_torch_is_not_resumed(data, monkeypatch):
    path = stage.resume_point(make_run(data), CPU)
    monkeypatch.setattr(torch, "__version__", "2.11.0")
    assert stage.resume_point(make_run(data), CPU) != path


def test_a_damaged_checkpoint_is_reported_and_training_starts_anew(data, caplog):
    run = make_run(data)
    stage.train(run, "cpu")
    undisturbed = contents(run)
    stage.resume_point(run, CPU).write_bytes(b"PK\x03\x04 half a checkpoint")
    stage.train(run, "cpu")
    assert "is damaged" in caplog.text
    assert contents(run) == undisturbed


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Attack:
        def __reduce__(self):
            return (tmp_path.joinpath("attacked").touch, ())

    torch.save({"network": Attack()}, tmp_path / "x.checkpoint")
    Checkpoint(tmp_path / "x.checkpoint").load(state=None)
    assert not (tmp_path / "attacked").exists()


def test_the_kept_weights_are_those_of_the_first_best_validation_epoch(data):
    run = make_run(data, epochs=4, learning_rate=0.003)
    stage.train(run, "cpu")
    history = pd.read_csv(run.folder / layout.HISTORY)
    network = build(run.experiment.system, run.system, 7)
    network.load_state_dict(load_file(run.folder / layout.WEIGHTS))
    val = load_part(run.source, "val")
    accuracy = (
        (predict(network, val.images, run.system.input, run.recipe).argmax(1) == val.labels).float().mean().item()
    )
    assert accuracy == pytest.approx(history["val_accuracy"].max(), abs=1e-6)


def test_training_never_reads_the_test_part(data):
    run = make_run(data)
    stage.train(run, "cpu")
    before = contents(run)[:2]
    split = pd.read_parquet(data.split("fer2013", "official"))
    crops = np.load(data.crops("fer2013"))
    crops[split.loc[split["part"] == "test", "sample"]] = 0
    np.save(data.crops("fer2013"), crops)
    stage.train(run, "cpu")
    assert contents(run)[:2] == before


@pytest.mark.parametrize("name", ["fer2013-attentional_cnn", "fer2013-dnn"])
def test_a_system_learns_what_can_be_learned(data, name):
    run = make_run(data, name=name, epochs=12, batch_size=20)
    stage.train(run, "cpu")
    history = pd.read_csv(run.folder / layout.HISTORY)
    assert history["val_accuracy"].max() > 0.6, "chance is 0.14"


def test_steps_end_a_training_in_the_middle_of_an_epoch(data):
    run = make_run(data, name="fer2013-dnn", epochs=None, steps=7, batch_size=64)
    stage.train(run, "cpu")
    history = pd.read_csv(run.folder / layout.HISTORY)
    assert history["step"].tolist() == [5, 7]


def test_a_loss_that_is_no_number_stops_the_training_and_keeps_the_last_checkpoint(data):
    diverging = {"optimizer": "sgd", "schedule": "constant", "learning_rate": 1000, "weight_decay": 1000}
    run = make_run(data, epochs=5, batch_size=20, gradient_clip=None, **diverging)
    with pytest.raises(
        FerError, match=r"the loss became nan in epoch 0 at step [1-9]\d*, whose batch is the samples \d+"
    ):
        stage.train(run, "cpu")
    assert not (run.folder / layout.WEIGHTS).exists()


def test_the_penalty_covers_the_last_two_dense_layers_alone(data):
    weights = {}
    for penalty in (0.0, 1.0):
        run = make_run(data, dense_penalty=penalty, epochs=8)
        stage.train(run, "cpu")
        weights[penalty] = load_file(run.folder / layout.WEIGHTS)
    ratio = {
        name: (weights[1.0][name].float().norm() / weights[0.0][name].float().norm()).item() for name in weights[0.0]
    }
    assert ratio["classifier.2.weight"] < 0.5 and ratio["classifier.4.weight"] < 0.5
    assert ratio["features.0.weight"] > 0.5 and ratio["localisation.7.weight"] > 0.5


def test_parameters_record_the_recipe_and_the_hash_of_every_input(data):
    run = make_run(data)
    stage.train(run, "cpu")
    parameters = json.loads((run.folder / layout.PARAMETERS).read_text())
    assert parameters["recipe"]["epochs"] == 2 and parameters["seed"] == 0
    assert {name: len(value) for name, value in parameters["data"].items()} == {"crops": 64, "index": 64, "split": 64}


def test_one_cycle_ends_near_zero_and_constant_stays():
    parameter = torch.nn.Parameter(torch.zeros(1))
    for schedule, last in (("one_cycle", 0.0), ("cosine", 0.0), ("constant", 0.1)):
        recipe = Recipe(steps=50, batch_size=1, optimizer="sgd", learning_rate=0.1, schedule=schedule)
        optimizer = torch.optim.SGD([parameter], lr=0.1)
        scheduler = make_scheduler(optimizer, recipe, 50, 10)
        for _ in range(50):
            optimizer.step()
            scheduler.step()
        assert scheduler.get_last_lr()[0] == pytest.approx(last, abs=1e-6), schedule


def test_normalisation_is_the_paper_s():
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    scaled = normalise(images, Input(size=48, channels=1, mean=0.5, std=0.5)).flatten()
    assert scaled.tolist() == pytest.approx([-1.0, 1.0])


def test_augmentation_draws_for_every_image_and_keeps_shape():
    torch.manual_seed(0)
    same = torch.rand(1, 1, 48, 48).expand(16, -1, -1, -1)
    warped = augmenter(Augmentation(horizontal_flip=0.5, rotation=10, translation=0.1, scale=0.1))(same)
    assert warped.shape == same.shape
    assert len({tuple(image.flatten().tolist()) for image in warped}) == 16


def test_flips_alone_are_exact_mirrors_of_about_half_the_images():
    torch.manual_seed(0)
    images = torch.rand(400, 1, 8, 8)
    flipped = augmenter(Augmentation(horizontal_flip=0.5))(images)
    mirrored = sum(torch.equal(after, before.flip(-1)) for before, after in zip(images, flipped, strict=True))
    untouched = sum(torch.equal(after, before) for before, after in zip(images, flipped, strict=True))
    assert mirrored + untouched == 400 and 150 < mirrored < 250


def test_no_augmentation_changes_nothing():
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(augmenter(Augmentation())(images), images)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(5, 48, 48), (5, 96, 96), (5, 48, 48, 3)])
def test_crops_are_fitted_to_what_the_network_takes(shape, channels):
    crops = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    fitted = fit(crops, Input(size=48, channels=channels, mean=0, std=1))
    assert fitted.shape == (5, channels, 48, 48) and fitted.dtype == np.uint8


def test_prediction_leaves_the_network_as_it_was(data):
    run = make_run(data)
    network = build(run.experiment.system, run.system, 7).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    part = Part(torch.zeros(3, 1, 48, 48, dtype=torch.uint8), torch.zeros(3, dtype=torch.long), np.arange(3))
    assert predict(network, part.images, run.system.input, run.recipe).shape == (3, 7)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.gpu
def test_on_a_gpu_a_system_learns_as_on_the_cpu(data):
    run = make_run(data, epochs=12, batch_size=20)
    stage.train(run, "cuda")
    assert pd.read_csv(run.folder / layout.HISTORY)["val_accuracy"].max() > 0.6
