"""A system trained on one dataset is tested on another by the expressions they share."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from test_generated import script
from typer.testing import CliRunner

from fer import layout, params
from fer.cli.main import app
from fer.errors import FerError
from fer.evaluation.intervals import accuracy_interval
from fer.evaluation.metrics import confidence_bins
from fer.evaluation.summary import ANSWERS
from fer.evaluation.transfer import shared_labels, transfer
from fer.expressions import EXPRESSIONS, expression, shared_expressions
from fer.faces import crops
from fer.faces.framing import framed
from fer.layout import Layout
from fer.reporting.results import collect
from fer.reporting.transfer import cells, matrix, readable
from fer.runs import Run, study_runs, transfer_runs, transfers
from fer.stages.evaluate import evaluate_on
from fer.stages.train import train
from fer.storage import read_json, write_json

FER2013 = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
VIRI = ["Angry", "Happy", "Neutral", "Sad", "Surprise"]


@pytest.mark.parametrize("name", sorted(path.stem for path in (params.FOLDER / "datasets").glob("*.yaml")))
def test_every_class_of_every_dataset_has_a_place_in_the_common_label_space(name):
    common = [expression(own) for own in params.load_dataset(name).classes]
    assert set(common) <= set(EXPRESSIONS) and len(set(common)) == len(common)


def test_shared_expressions_stand_in_the_order_of_the_tested_dataset():
    assert shared_expressions(FER2013, VIRI) == ["anger", "happiness", "neutral", "sadness", "surprise"]


def test_contempt_is_not_shared():
    ours, theirs = ["anger", "contempt", "fear"], ["contempt", "fear", "anger"]
    assert shared_expressions(ours, theirs) == ["fear", "anger"]


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


def test_a_run_is_not_tested_on_its_own_dataset_as_if_it_were_another(trained):
    with pytest.raises(FerError, match="was trained on fer2013: evaluate it without --on"):
        evaluate_on(trained.as_trained(), [("fer2013", "official")])


@pytest.fixture
def trained(data):
    """A run trained for one epoch, whose training images' hashes are known."""
    run = Run("fer2013-attentional_cnn", "0", 0, {"epochs": 1, "augmentation": {}}, 1, data)
    train(run, "cpu")
    data.faces("fer2013").parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"pixels": [f"fer2013 {sample}" for sample in range(420)]}).to_parquet(data.faces("fer2013"))
    return run


def make_dataset(layout, name, protocol, classes):
    """Twenty images, ten of each modality, every second one for testing; one is a training image of `trained`."""
    rng = np.random.default_rng(0)
    for path in (layout.index(name), layout.faces(name), layout.split(name, protocol)):
        path.parent.mkdir(parents=True, exist_ok=True)
    images = rng.integers(0, 256, (20, 112, 112, 3), dtype=np.uint8)
    np.save(layout.crops(name), images)
    layout.raw(name).parent.mkdir(parents=True, exist_ok=True)
    files = [cv2.imencode(".png", image)[1].tobytes() for image in images]
    pd.DataFrame({"path": [f"{n}.png" for n in range(20)], "image": files}).to_parquet(layout.raw(name))
    samples = np.arange(20, dtype=np.int32)
    index = {"sample": samples, "label": samples % classes, "modality": np.repeat(["visible", "infrared"], 10)}
    index |= {"subject": [f"s{sample // 4}" for sample in samples], "sequence": None}
    pd.DataFrame(index).astype({"label": "int8"}).to_parquet(layout.index(name))
    own = [f"{name} {sample}" for sample in samples]
    own[4] = "fer2013 0"
    points = [None if number == 2 else rng.uniform(10, 100, 136).astype(np.float32) for number in range(20)]
    pd.DataFrame({"pixels": own, "landmarks": points}).to_parquet(layout.faces(name))
    split = pd.DataFrame({"sample": samples, "fold": "0", "part": ["test", "train"] * 10})
    split.to_parquet(layout.split(name, protocol))


def test_a_trained_run_is_evaluated_on_another_dataset_s_test_samples(trained, data):
    make_dataset(data, "viri", "stratified_70_15_15", classes=5)
    line = evaluate_on(trained.as_trained(), [("viri", "stratified_70_15_15")], device="cpu")
    predictions = pd.read_parquet(trained.folder / "transfer.parquet")
    figures = read_json(trained.folder / "transfer.json")["viri"]
    assert predictions["sample"].tolist() == [0, 2, 6, 8], "visible test samples that it was not trained on"
    assert predictions["cluster"].tolist() == ["subject:s0", "subject:s0", "subject:s1", "subject:s2"]
    shared = ["anger", "happiness", "neutral", "sadness", "surprise"]
    assert list(predictions.columns[5:-1]) == [f"p_{name}" for name in shared]
    likeliest = predictions.filter(like="p_").to_numpy().argmax(1)
    assert predictions["predicted"].tolist() == [shared[code] for code in likeliest]
    assert (figures["n"], figures["other_expressions"], figures["seen_in_training"]) == (4, 0, 1)
    assert "5 shared expressions" in line


def test_faces_framed_otherwise_are_cut_anew_as_the_network_was_trained(trained, data):
    make_dataset(data, "viri", "stratified_70_15_15", classes=5)
    evaluate_on(trained.as_trained(), [("viri", "stratified_70_15_15")], device="cpu")
    figures = read_json(trained.folder / "transfer.json")["viri"]
    assert figures["framing"] == "as trained" and figures["as_cut"]["n"] == figures["n"]
    shown = framed(data.raw("viri"), data.faces("viri"), params.load_dataset("fer2013").alignment, np.array([0, 2, 6]))
    assert shown.shape == (3, 48, 48)
    image, _, whole = (crops.decode(data, 1, "") for data in pd.read_parquet(data.raw("viri"))["image"][:3])
    points = pd.read_parquet(data.faces("viri"))["landmarks"][0].reshape(68, 2)
    assert (shown[0] == crops.similarity(image, points, 48, ((0.314, 0.394), (0.686, 0.394)))).all()
    assert (shown[1] == crops.distributed(whole, 48)).all(), "no face was found in it"


def test_faces_framed_alike_are_tested_as_they_are(trained, data):
    make_dataset(data, "ferplus", "official", classes=7)
    evaluate_on(trained.as_trained(), [("ferplus", "official")], device="cpu")
    figures = read_json(trained.folder / "transfer.json")["ferplus"]
    assert figures["framing"] == "as cut" and figures["as_cut"]["accuracy"] == figures["accuracy"]


@pytest.mark.parametrize("name", ["index", "split"])
def test_a_run_whose_own_data_changed_is_not_tested_on_others(trained, data, name):
    make_dataset(data, "viri", "stratified_70_15_15", classes=5)
    path = trained.data[name]
    pd.read_parquet(path).iloc[::-1].to_parquet(path)
    with pytest.raises(FerError, match=f"^{path} is not the file that .* was trained with"):
        evaluate_on(trained.as_trained(), [("viri", "stratified_70_15_15")], device="cpu")


def test_several_datasets_are_tested_in_one_process_and_stand_in_one_file(trained, data):
    make_dataset(data, "viri", "stratified_70_15_15", classes=5)
    make_dataset(data, "rafdb", "official", classes=7)
    wanted = ["--on", "viri:stratified_70_15_15", "--on", "rafdb:official"]
    options = ["--root", str(data.root), "--device", "cpu"]
    said = CliRunner().invoke(app, ["evaluate", trained.name, *wanted, *options], catch_exceptions=False)
    assert said.output.startswith(f"evaluate {trained.name} 0.0: accuracy on viri over 5 shared expressions")
    assert "; accuracy on rafdb over 7 shared expressions" in said.output
    figures = read_json(trained.folder / "transfer.json")
    assert {f"{name}:{found['protocol']}" for name, found in figures.items()} == set(wanted[1::2])
    predictions = pd.read_parquet(trained.folder / "transfer.parquet")
    assert {name: len(own) for name, own in predictions.groupby("dataset")} == {
        name: found["n"] for name, found in figures.items()
    }
    right = predictions["label"] == predictions["predicted"]
    for name, found in figures.items():
        assert right[predictions["dataset"] == name].mean() == found["accuracy"]
    assert not (trained.folder / layout.METRICS).exists(), "its own test part is not opened again"


# --- the matrix of a study ------------------------------------------------------------------------------------------

EXPERIMENT = """
dataset: {dataset}
system: dnn
modality: {modality}
protocol: {protocol}
published: {{accuracy: null, source: none}}
"""
CROSS = ["on-fer2013", "on-ckplus", "on-rafdb"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project of its own with four experiments on visible images and one on infrared ones."""
    shutil.copytree("params", tmp_path / "params")
    monkeypatch.chdir(tmp_path)
    protocols = {"fer2013": "official", "ckplus": "kfold_subject", "rafdb": "official", "nvie": "stratified_70_15_15"}
    for dataset, protocol in protocols.items():
        write_experiment(f"on-{dataset}", dataset, protocol)
    write_experiment("on-viri", "viri", "stratified_70_15_15")
    write_experiment("on-infrared", "viri", "stratified_70_15_15", "infrared")
    return tmp_path


def write_experiment(name, dataset, protocol, modality="visible"):
    text = EXPERIMENT.format(dataset=dataset, protocol=protocol, modality=modality)
    params.experiment_file(name).write_text(text)


def study_of(cross_dataset, seeds=(0,), experiments=None):
    path = params.FOLDER / "studies" / "cross.yaml"
    values = {"name": "cross", "root": "studies/cross", "seeds": list(seeds), "cross_dataset": cross_dataset}
    values["experiments"] = dict.fromkeys(experiments or cross_dataset)
    path.write_text(yaml.safe_dump(values))
    return params.load_study(path)


def test_each_experiment_is_tested_on_the_datasets_of_all_the_others_by_their_own_protocols(folder):
    study = study_of(CROSS, seeds=[0, 1])
    assert transfers(study) == {
        "on-fer2013": [("ckplus", "kfold_subject"), ("rafdb", "official")],
        "on-ckplus": [("fer2013", "official"), ("rafdb", "official")],
        "on-rafdb": [("fer2013", "official"), ("ckplus", "kfold_subject")],
    }
    assert [(run.fold, run.seed) for run in transfer_runs(study, "on-ckplus")] == [("0", 0), ("0", 1)]


@pytest.mark.parametrize(
    ("cross_dataset", "message"),
    [
        (["on-fer2013", "on-ckplu"], "'on-ckplu' is not an experiment of this study (did you mean 'on-ckplus'?)"),
        (["on-fer2013"], "given only on-fer2013; expected two experiments or more"),
        (["on-fer2013", "on-ckplus", "on-fer2013"], "on-fer2013 and on-fer2013 are both on fer2013"),
        (["on-viri", "on-infrared"], "on-viri and on-infrared are both on viri; name one experiment for each dataset"),
        (["on-fer2013", "on-infrared"], "on-fer2013 is trained on visible images and on-infrared on infrared ones"),
        (["on-viri", "on-nvie"], "on-viri and on-nvie cannot be tested on one another's datasets: classes Angry, "),
    ],
)
def test_experiments_that_cannot_be_tested_on_one_another_s_datasets_are_refused_before_any_job(
    folder, cross_dataset, message
):
    experiments = [*CROSS, "on-viri", "on-infrared", "on-nvie"]
    with pytest.raises(FerError) as error:
        study_of(cross_dataset, experiments=experiments)
    assert str(error.value).startswith("params/studies/cross.yaml: cross_dataset: ") and message in str(error.value)


@pytest.fixture
def measured(folder):
    """A study of two seeds whose run folders hold known figures, and its results."""
    study = study_of(CROSS, seeds=[0, 1])
    accuracies = np.random.default_rng(0).uniform(0.2, 0.9, (len(CROSS), 2, len(CROSS)))
    for row, name in enumerate(CROSS):
        for run in transfer_runs(study, name):
            tested = {}
            for dataset, _ in transfers(study)[name]:
                accuracy = accuracies[row, run.seed, CROSS.index(f"on-{dataset}")]
                figures = {"n": 40 + row, "classes": ["anger", "fear"], "accuracy": accuracy, "macro_recall": 0.5}
                counts = {"other_expressions": 3, "seen_in_training": 1}
                samples = np.arange(40 + row)
                answers = pd.DataFrame({"sample": samples, "cluster": (samples // 2).astype(str)})
                answers["correct"] = samples < 30 + 5 * run.seed
                answers["correct_as_cut"] = samples < 20
                tested[dataset] = figures | counts | {"answers": answers.to_dict("list"), "framing": "as trained"}
            write_json(run.folder / layout.TRANSFER, tested)
    for number, name in enumerate(("fer2013", "ckplus", "rafdb")):
        path = Layout(Path(study.root)).faces_counts(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"modalities": {"visible": {"samples": [10], "detected": [10 - number]}}})
    for number, run in enumerate(study_runs(study)):
        run.folder.mkdir(parents=True, exist_ok=True)
        write_own_predictions(run, right=5 + number % 4)
    return study, collect(study), accuracies


def write_own_predictions(run, right):
    classes, samples = run.dataset.classes, np.arange(10)
    table = pd.DataFrame({"sample": samples + 10 * int(run.fold), "cluster": "c", "label": samples % len(classes)})
    table["predicted"] = np.where(samples < right, table["label"], (table["label"] + 1) % len(classes))
    for code, name in enumerate(classes):
        table[f"p_{name}"] = (table["predicted"] == code).astype(float)
    bins = confidence_bins(table["label"].to_numpy(), table.filter(like="p_").to_numpy())
    tables = {"answers": table.assign(partner=table["sample"])[ANSWERS], "bins": bins}
    write_json(run.folder / layout.SUMMARY, {name: each.to_dict("list") for name, each in tables.items()})


def test_the_matrix_s_diagonal_is_the_results_table(measured):
    study, results, _ = measured
    found = cells(study, results)
    for figure in ("accuracy", "macro_recall"):
        diagonal = np.diag(matrix(found, figure))
        own = {result.name: result.mean(figure) for result in results}
        assert diagonal == pytest.approx([own[name] for name in CROSS])
    assert np.diag(matrix(found, "n")).tolist() == [10, 100, 10], "every fold's test part"


def test_off_the_diagonal_stands_the_mean_over_seeds_trained_on_rows_and_tested_on_columns(measured):
    study, results, accuracies = measured
    found = cells(study, results)
    shown = matrix(found).to_numpy()
    off = ~np.eye(3, dtype=bool)
    assert shown[off] == pytest.approx(accuracies.mean(1)[off])
    assert matrix(found).index.tolist() == matrix(found).columns.tolist() == ["fer2013", "ckplus", "rafdb"]
    assert matrix(found, "classes").loc["fer2013"].tolist() == [7, 2, 2]
    assert matrix(found, "seen_in_training").loc["ckplus"].tolist() == [1, 0, 1]


def test_people_read_percentages_with_intervals_and_numbers_of_samples_and_clusters(measured):
    study, results, accuracies = measured
    found = cells(study, results)
    cell = found.set_index(["trained_on", "tested_on"]).loc["fer2013", "ckplus"]
    samples = np.arange(40)
    expected = accuracy_interval(((samples < 30) * 1.0 + (samples < 35)) / 2, samples // 2)
    assert (cell["accuracy_low"], cell["accuracy_high"]) == (expected.low, expected.high)
    assert cell["clusters"] == 20 and cell["without_face"] == pytest.approx(0.1)
    shown = readable(found)
    assert list(shown.columns) == ["trained on", "fer2013", "ckplus", "rafdb"]
    assert shown["ckplus"].iloc[0] == (
        f"{100 * accuracies[0, :, 1].mean():.1f} ({100 * expected.low:.1f} – {100 * expected.high:.1f}; "
        "n 40, clusters 20; 50.0 as cut)"
    )


def test_a_study_without_cross_dataset_has_an_empty_matrix(measured):
    study, results, _ = measured
    assert cells(study.model_copy(update={"cross_dataset": []}), results).empty


def test_both_engines_test_a_run_on_all_other_datasets_in_one_job_that_the_report_waits_for(tmp_path):
    names = ["fer2013-attentional_cnn", "ferplus-attentional_cnn"]
    study = {"name": "cross", "root": "studies/cross", "seeds": [0, 1], "cross_dataset": names}
    study["experiments"] = dict.fromkeys(names)
    (tmp_path / "cross.yaml").write_text(yaml.safe_dump(study))
    engines = script("engines")
    with engines.dag(tmp_path / "cross.yaml") as graph:
        stages = yaml.safe_load(engines.compiled(graph, tmp_path / "cross.yaml"))["stages"]
    job = stages["transfer-fer2013-attentional_cnn-0-1"]
    made = f"studies/cross/runs/{names[0]}/0.1/transfer.json"
    assert "evaluate fer2013-attentional_cnn --fold 0 --seed 1 --on ferplus:official" in job["cmd"]
    assert made in job["outs"] and made in stages["report-tables"]["deps"]
    assert sum(name.startswith("transfer-") for name in stages) == 4
