"""Other people's predictions beside ours: `fer score`."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fer import params
from fer.storage import read_frame, read_json, write_json

CLASSES = params.load_dataset("fer2013").classes


def score(data, *words, ok=True):
    options = ["--dataset", "fer2013", "--protocol", "official", "--root", str(data.root)]
    command = [sys.executable, "-m", "fer", "score", *map(str, words), *options]
    result = subprocess.run(command, capture_output=True, text=True)
    assert not ok or result.returncode == 0, result.stderr
    return result


@pytest.fixture
def test_part(data):
    """sample, path and label of the test part."""
    split = read_frame(data.split("fer2013", "official"))
    index = read_frame(data.index("fer2013"), ["sample", "path", "label"])
    return index[index["sample"].isin(split.loc[split["part"] == "test", "sample"])].reset_index(drop=True)


def test_probabilities_by_path_in_any_order_are_scored_as_evaluate_scores_a_run(data, test_part, tmp_path):
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(len(CLASSES)), len(test_part))
    probabilities[:35] = 0.9 * np.eye(len(CLASSES))[test_part["label"][:35]] + 0.1 / len(CLASSES)
    table = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in CLASSES])
    table["path"] = [path.rpartition("/")[2] for path in test_part["path"]]
    table.sample(frac=1, random_state=1).to_csv(tmp_path / "theirs.csv", index=False)
    result = score(data, tmp_path / "theirs.csv", "--trained-on", "their own photographs", "--saw-test", "no")
    figures = read_json(data.external("fer2013", "official", "theirs", "json"))
    right = (probabilities.argmax(1) == test_part["label"]).mean()
    assert figures["accuracy"] == pytest.approx(right) and f"{right:.2%}" in result.stdout
    assert 0 < figures["ece"] < 1 and figures["trained_on"] == "their own photographs"
    kept = read_frame(data.external("fer2013", "official", "theirs", "parquet"))
    assert kept["sample"].tolist() == test_part["sample"].tolist()
    np.testing.assert_allclose(kept[[f"p_{name}" for name in CLASSES]], probabilities, atol=1e-6)


def test_labels_alone_are_scored_without_a_calibration_and_synonyms_are_understood(data, test_part, tmp_path):
    names = {"angry": "anger", "happy": "joy", "sad": "Sadness"}
    labels = [names.get(CLASSES[code], CLASSES[code]) for code in test_part["label"]]
    table = pd.DataFrame({"sample": test_part["sample"], "label": labels})
    table.loc[0, "label"] = "neutral"
    table.to_csv(tmp_path / "theirs.csv", index=False)
    score(data, tmp_path / "theirs.csv", "--name", "other")
    figures = read_json(data.external("fer2013", "official", "other", "json"))
    assert figures["accuracy"] == pytest.approx(69 / 70) and figures["ece"] is None


def test_the_figure_without_leaked_images_leaves_out_those_with_a_copy_in_train(data, test_part, tmp_path):
    audit = read_json(data.audit("fer2013", "official"))
    audit["folds"]["0"]["leaked_test"] = {"exact": test_part["sample"][:10].tolist(), "near": []}
    write_json(data.audit("fer2013", "official"), audit)
    labels = test_part["label"].where(test_part.index < 10, (test_part["label"] + 1) % len(CLASSES))
    table = pd.DataFrame({"sample": test_part["sample"], "label": [CLASSES[code] for code in labels]})
    table.to_csv(tmp_path / "leaky.csv", index=False)
    result = score(data, tmp_path / "leaky.csv", "--saw-test", "yes")
    without = read_json(data.external("fer2013", "official", "leaky", "json"))["without_leaked"]
    assert (without["n"], without["accuracy"]) == (60, 0.0)
    assert "not a test" in result.stdout


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.iloc[1:], "does not answer 1 of 70 test samples, such as 350"),
        (lambda table: pd.concat([table, table.iloc[:1]]), "answers 1 sample more than once, such as 350"),
        (lambda table: table.assign(sample=table["sample"] - 350), "70 rows are not in the test part, such as 0"),
        (lambda table: table.assign(label="hapy"), "70 answers are not a class of the dataset, such as 'hapy'"),
        (lambda table: table.rename(columns={"label": "answer"}), "neither a column `label` nor a probability"),
        (lambda table: table.rename(columns={"sample": "image"}), "expected `sample` or `path`"),
        (lambda table: table.drop(columns="label").assign(**dict.fromkeys(CLASSES, 0.5)), "must sum to 1"),
        (lambda table: table.drop(columns="label").assign(**dict.fromkeys(CLASSES, -1.0)), "probabilities, not logits"),
    ],
)
def test_answers_that_do_not_fit_are_refused_with_what_was_expected(data, test_part, tmp_path, change, words):
    table = pd.DataFrame({"sample": test_part["sample"], "label": "happy"})
    change(table).to_csv(tmp_path / "theirs.csv", index=False)
    result = score(data, tmp_path / "theirs.csv", ok=False)
    assert result.returncode == 2 and words in result.stderr and "Traceback" not in result.stderr
    assert not (data.root / "external").exists()


def test_the_test_images_are_written_for_systems_that_live_elsewhere(tmp_path):
    """With drawn faces, by the commands that a user types."""
    for words in (["acquire", "jaffe", "--samples", "70"], ["index", "jaffe"], ["align", "jaffe"]):
        subprocess.run([sys.executable, "-m", "fer", *words, "--root", tmp_path], check=True, capture_output=True)
    split = ["split", "jaffe", "stratified_70_15_15", "--root", tmp_path]
    subprocess.run([sys.executable, "-m", "fer", *split], check=True, capture_output=True)
    folder = tmp_path / "images"
    command = [
        "score",
        "--images",
        folder,
        "--dataset",
        "jaffe",
        "--protocol",
        "stratified_70_15_15",
        "--root",
        tmp_path,
    ]
    subprocess.run([sys.executable, "-m", "fer", *map(str, command)], check=True, capture_output=True)
    table = pd.read_csv(folder / "samples.csv")
    assert len(table) == len(list(folder.iterdir())) - 1 > 5
    assert all((folder / name).stat().st_size > 100 for name in table["file"])
    assert json.dumps(table["path"].tolist()).count("AN") > 0  # the dataset's own names: KA.AN1.39.tiff
