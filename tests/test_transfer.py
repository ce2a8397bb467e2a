"""A system trained on one dataset is tested on another by the expressions they share."""

import numpy as np
import pandas as pd
import pytest

from fer import params
from fer.datasets import EXPRESSIONS, expression
from fer.errors import FerError
from fer.evaluation.transfer import shared_expressions, shared_labels, transfer
from fer.runs import Run
from fer.stages.evaluate import evaluate_on
from fer.stages.train import train
from fer.storage import read_json

FER2013 = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
VIRI = ["Angry", "Happy", "Neutral", "Sad", "Surprise"]


@pytest.mark.parametrize("name", sorted(path.stem for path in (params.FOLDER / "datasets").glob("*.yaml")))
def test_every_class_of_every_dataset_has_a_place_in_the_common_label_space(name):
    common = [expression(own) for own in params.load_dataset(name).classes]
    assert set(common) <= set(EXPRESSIONS) and len(set(common)) == len(common)


def test_shared_expressions_stand_in_the_order_of_the_tested_dataset():
    assert shared_expressions(FER2013, VIRI) == ["anger", "happiness", "neutral", "sadness", "surprise"]


def test_contempt_is_shared_only_when_asked_for():
    ours, theirs = ["anger", "contempt", "fear"], ["contempt", "fear", "anger"]
    assert shared_expressions(ours, theirs) == ["fear", "anger"]
    assert shared_expressions(ours, theirs, contempt=True) == ["contempt", "fear", "anger"]


def test_datasets_with_fewer_than_two_expressions_in_common_are_refused():
    with pytest.raises(FerError, match="share 1 expressions"):
        shared_expressions(["anger", "fear"], ["fear", "joy"])


def test_probabilities_of_other_classes_are_dropped_and_the_rest_sums_to_one():
    probabilities = np.array([[0.1, 0.2, 0.1, 0.3, 0.1, 0.1, 0.1], [0, 0.5, 0.5, 0, 0, 0, 0]])
    shared = shared_expressions(FER2013, VIRI)
    kept = transfer(probabilities, FER2013, shared)
    assert np.allclose(kept[0], np.array([0.1, 0.3, 0.1, 0.1, 0.1]) / 0.7)
    assert np.array_equal(kept[1], np.zeros(5)), "a network sure of another class says nothing of these"


def test_labels_of_expressions_that_are_not_shared_become_minus_one():
    tested, shared = ["anger", "contempt", "joy"], ["happiness", "anger"]
    assert shared_labels(np.array([0, 1, 2, 2]), tested, shared).tolist() == [1, -1, 0, 0]


def test_a_run_is_not_tested_on_its_own_dataset_as_if_it_were_another(data):
    run = Run("fer2013-attentional_cnn", "0", 0, {}, 1, data)
    with pytest.raises(FerError, match="was trained on fer2013: evaluate it without --on"):
        evaluate_on(run, "fer2013", "official")


def test_a_trained_run_is_evaluated_on_another_dataset_s_test_samples(data):
    run = Run("fer2013-attentional_cnn", "0", 0, {"epochs": 1, "augmentation": {}}, 1, data)
    train(run, "cpu")
    rng = np.random.default_rng(0)
    for path in (data.index("viri"), data.faces("viri"), data.split("viri", "stratified_70_15_15")):
        path.parent.mkdir(parents=True, exist_ok=True)
    np.save(data.crops("viri"), rng.integers(0, 256, (20, 112, 112, 3), dtype=np.uint8))
    samples = np.arange(20, dtype=np.int32)
    index = {"sample": samples, "label": samples % 5, "modality": np.repeat(["visible", "infrared"], 10)}
    index |= {"subject": [f"s{sample // 4}" for sample in samples], "sequence": None}
    pd.DataFrame(index).astype({"label": "int8"}).to_parquet(data.index("viri"))
    own = [f"viri {sample}" for sample in samples]
    own[4] = "fer2013 0"  # a training image of the network
    pd.DataFrame({"pixels": own}).to_parquet(data.faces("viri"))
    pd.DataFrame({"pixels": [f"fer2013 {sample}" for sample in range(420)]}).to_parquet(data.faces("fer2013"))
    split = pd.DataFrame({"sample": samples, "fold": "0", "part": ["test", "train"] * 10})
    split.to_parquet(data.split("viri", "stratified_70_15_15"))
    line = evaluate_on(run, "viri", "stratified_70_15_15", device="cpu")
    predictions = pd.read_parquet(run.folder / "on/viri.stratified_70_15_15.predictions.parquet")
    figures = read_json(run.folder / "on/viri.stratified_70_15_15.metrics.json")
    assert predictions["sample"].tolist() == [0, 2, 6, 8], "visible test samples that it was not trained on"
    assert predictions["cluster"].tolist() == ["s0", "s0", "s1", "s2"]
    assert list(predictions.columns[4:]) == ["p_anger", "p_happiness", "p_neutral", "p_sadness", "p_surprise"]
    assert (figures["n"], figures["other_expressions"], figures["seen_in_training"]) == (4, 0, 1)
    assert "5 shared expressions" in line
