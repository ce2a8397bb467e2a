"""Figures of merit against scikit-learn and hand-made cases."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score
from torch.utils.flop_counter import FlopCounterMode

from fer import layout, params, systems
from fer.evaluation.cost import cost, flops, lstm_flops
from fer.evaluation.intervals import accuracy_interval
from fer.evaluation.metrics import calibration_error, confidence_bins, metrics, reliability
from fer.runs import Run
from fer.stages.evaluate import evaluate
from fer.stages.train import train
from fer.storage import read_json


def drawn(n=300, classes=4, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    probabilities = generator.dirichlet(np.ones(classes), n)
    probabilities[np.arange(n), labels] += 0.3
    return labels, probabilities / probabilities.sum(1, keepdims=True)


def test_metrics_agree_with_scikit_learn():
    labels, probabilities = drawn()
    figures, predicted = metrics(labels, probabilities, list("abcd")), probabilities.argmax(1)
    assert figures["accuracy"] == pytest.approx((labels == predicted).mean())
    assert figures["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert figures["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert figures["weighted_f1"] == pytest.approx(f1_score(labels, predicted, average="weighted"))
    assert figures["macro_precision"] == pytest.approx(precision_score(labels, predicted, average="macro"))
    assert figures["weighted_recall"] == pytest.approx(figures["accuracy"])


def test_the_confusion_matrix_has_true_classes_in_rows():
    figures = metrics(np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]]), ["a", "b"])
    assert figures["confusion_matrix"] == [[1, 1], [0, 1]]


def test_a_class_without_test_samples_does_not_count_in_macro_averages():
    figures = metrics(np.array([0, 1]), np.array([[1.0, 0, 0], [0, 1.0, 0]]), ["a", "b", "absent"])
    assert figures["balanced_accuracy"] == figures["macro_f1"] == 1.0
    assert figures["per_class"]["absent"]["n"] == 0


def test_a_calibrated_predictor_has_no_calibration_error_and_a_boastful_one_has_its_excess():
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.5, 1, 200_000)
    correct = generator.random(200_000) < confidence
    probabilities = np.stack([confidence, 1 - confidence], 1)
    assert calibration_error(confidence_bins((~correct).astype(int), probabilities)) < 0.01
    half_right = np.arange(100) % 2
    assert calibration_error(confidence_bins(half_right, np.tile([0.9, 0.1], (100, 1)))) == pytest.approx(0.4)


def test_the_reliability_diagram_shows_accuracy_by_confidence_in_bins_that_cover_every_sample_once():
    confidence = np.array([0.55, 0.58, 0.66, 0.95, 1.0])
    probabilities = np.stack([confidence, 1 - confidence], 1)
    table = reliability(np.array([0, 1, 1, 0, 0]), probabilities, bins=10)
    filled = table[table["n"] > 0]
    assert table["bin_low"].tolist() == [b / 10 for b in range(10)] and table["bin_high"].iloc[-1] == 1
    assert filled["n"].tolist() == [2, 1, 2] and filled["accuracy"].tolist() == [0.5, 0, 1]
    assert filled["confidence"].tolist() == pytest.approx([0.565, 0.66, 0.975])
    assert table.loc[table["n"] == 0, ["confidence", "accuracy"]].isna().all(axis=None)


def test_the_calibration_error_is_the_mean_gap_of_the_reliability_diagram():
    labels, probabilities = drawn()
    table = reliability(labels, probabilities)
    gaps = (table["accuracy"] - table["confidence"]).abs()
    assert table["n"].sum() == len(labels)
    error = calibration_error(confidence_bins(labels, probabilities))
    assert error == pytest.approx(np.average(gaps.fillna(0), weights=table["n"])) and error > 0.05


def test_cost_counts_parameters_and_flops_exactly():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, bias=False), torch.nn.Flatten(), torch.nn.Linear(64, 7))
    images = torch.zeros(1, 1, 6, 6, dtype=torch.uint8)
    figures = cost(network, images, params.Input(size=6, channels=1, mean=0, std=1))
    assert figures["parameters"] == 36 + 64 * 7 + 7
    assert figures["flops"] == 2 * (4 * 16 * 9 + 64 * 7)
    assert figures["milliseconds"] > 0


def test_a_flip_at_test_time_costs_a_second_pass():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 7))
    images, seen = torch.zeros(1, 1, 6, 6, dtype=torch.uint8), params.Input(size=6, channels=1, mean=0, std=1)
    assert cost(network, images, seen, views=2)["flops"] == 2 * cost(network, images, seen)["flops"] > 0


@pytest.mark.parametrize(
    ("name", "size", "classes", "millions"), [("dnn", 48, 7, 57.1), ("resnet18_attention", 32, 5, 74.8)]
)
def test_flops_are_those_of_the_published_layers(name, size, classes, millions):
    """The normalisation of `dnn` is not a convolution; ResNet-18's last ones count, though at 32 pixels most of their
    kernel meets padding."""
    system = params.load_system(name)
    seen = system.input.model_copy(update={"size": size})
    network = systems.build(name, system.model_copy(update={"input": seen}), classes)
    images = torch.zeros(1, seen.channels, size, size, dtype=torch.uint8)
    assert cost(network, images, seen)["flops"] / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize("name", ["acnn_alstm", "attentional_cnn", "deepfer"])
def test_flops_are_those_that_torch_s_own_counter_finds(name):
    system = params.load_system(name)
    network = systems.build(name, system, 7).eval()
    image = torch.zeros(1, system.input.channels, system.input.size, system.input.size)
    own = {torch.ops.aten.mkldnn_rnn_layer: lstm_flops}  # of which that counter knows nothing
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=own) as counter:
        network(image)
    assert flops(network, image) == counter.get_total_flops() > 0
    with torch.inference_mode():
        assert flops(network, image) == counter.get_total_flops()


def test_flops_are_counted_without_torch_s_compiler():
    """Its import takes a second of every evaluation."""
    program = (
        "import sys, torch; from fer.evaluation.cost import flops; "
        "print(flops(torch.nn.Linear(3, 2), torch.zeros(1, 3)), 'torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "12 False\n"


@pytest.fixture
def evaluated(data):
    run = Run("fer2013-attentional_cnn", "0", 0, {"epochs": 6, "batch_size": 20}, 1, data)
    train(run, "cpu")
    evaluate(run.as_trained(), "cpu")
    return run


def test_predictions_keep_every_test_sample_with_all_its_probabilities(evaluated):
    table = pd.read_parquet(evaluated.folder / layout.PREDICTIONS)
    split = pd.read_parquet(evaluated.data["split"])
    index = pd.read_parquet(evaluated.data["index"])
    assert sorted(table["sample"]) == sorted(split.loc[split["part"] == "test", "sample"])
    assert (table["label"].to_numpy() == index["label"].to_numpy()[table["sample"]]).all()
    probabilities = table[[f"p_{name}" for name in evaluated.dataset.classes]].to_numpy()
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (probabilities.argmax(1) == table["predicted"]).all()


def test_every_figure_follows_from_the_predictions(evaluated):
    table = pd.read_parquet(evaluated.folder / layout.PREDICTIONS)
    figures = read_json(evaluated.folder / layout.METRICS)
    assert figures["accuracy"] == (table["label"] == table["predicted"]).mean()
    pairs = pd.read_csv(evaluated.folder / layout.CONFUSION)
    assert (pairs["actual"] == pairs["predicted"]).mean() == figures["accuracy"]
    assert sum(map(sum, figures["confusion_matrix"])) == figures["n"] == len(table)
    found = accuracy_interval(table["label"] == table["predicted"], table["cluster"])
    assert figures["interval"] == {"accuracy": [found.low, found.high], "method": found.method, "clusters": len(table)}


def test_evaluating_twice_gives_the_same_predictions_to_the_bit(evaluated):
    names = (layout.PREDICTIONS, layout.METRICS, layout.CONFUSION)
    before = [(evaluated.folder / name).read_bytes() for name in names]
    evaluate(evaluated.as_trained(), "cpu")
    assert [(evaluated.folder / name).read_bytes() for name in names] == before


def test_what_was_learned_shows_on_the_test_part(evaluated):
    assert read_json(evaluated.folder / layout.METRICS)["accuracy"] > 0.5, "chance is 0.14"
