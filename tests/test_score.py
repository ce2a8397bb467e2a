"""Other people's predictions beside ours: `fer score`."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer import params
from fer.errors import FerError
from fer.reporting.external import outside_row
from fer.stages.answers import rows_of_samples
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


def certain(table):
    """The answers of a table with a probability of 1 for the class `happy`."""
    return table.assign(**dict.fromkeys(CLASSES, 0.0) | {"happy": 1.0})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.iloc[1:], "does not answer 1 of 70 test samples, such as 350"),
        (lambda table: pd.concat([table, table.iloc[:1]]), "answers 1 sample more than once, such as 350"),
        (lambda table: table.assign(sample=table["sample"] - 350), "has 70 rows outside the test part, such as 0"),
        (lambda table: pd.concat([table, table.iloc[:1].assign(sample=0)]), "1 row outside the test part, such as 0."),
        (
            lambda table: pd.concat([table, table.iloc[:1].assign(sample="")]),
            "1 row outside the test part, such as one",
        ),
        (lambda table: table.assign(label=["", *table["label"][1:]]), "has 1 answer that the dataset has no class for"),
        (lambda table: table.assign(label=0), "70 answers that the dataset has no class for, such as '0'"),
        (lambda table: table.assign(label="hapy"), "70 answers that the dataset has no class for, such as 'hapy'"),
        (lambda table: table.rename(columns={"label": "answer"}), "neither a column `label` nor a probability"),
        (lambda table: table.rename(columns={"sample": "image"}), "expected `sample` or `path`"),
        (
            lambda table: certain(table).drop(columns=["sad", "neutral"]),
            "probabilities for some classes alone, in angry, disgust, fear, happy, surprise; without one: sad, neutral"
            ". Give a column for each class",
        ),
        (
            lambda table: certain(table).drop(columns=["label", "sad"]),
            "probabilities for some classes alone, in angry, disgust, fear, happy, surprise, neutral; without one: sad",
        ),
        (lambda table: table.drop(columns="label").assign(**dict.fromkeys(CLASSES, 0.5)), "must sum to 1"),
        (lambda table: table.drop(columns="label").assign(**dict.fromkeys(CLASSES, -1.0)), "probabilities, not logits"),
        (
            lambda table: certain(table).assign(sad="high"),
            "probabilities, not logits. Not so in 70 rows, such as row 1",
        ),
        (
            lambda table: certain(table).assign(contempt=0.0),
            "has a column 'contempt', but the dataset has no such class",
        ),
        (lambda table: table.assign(p_hapy=1.0), "has a column 'p_hapy', but the dataset has no such class"),
        (lambda table: certain(table).assign(p_sad=0.0), "has two columns for sad: sad and p_sad"),
        (
            lambda table: certain(table).assign(label=["sad", "joy", *table["label"][2:]]),
            "in 1 row, `label` is not the most probable class, such as in row 1: sad, where happy is",
        ),
    ],
)
def test_answers_that_do_not_fit_are_refused_with_what_was_expected(data, test_part, tmp_path, change, words):
    table = pd.DataFrame({"sample": test_part["sample"], "label": "happy"})
    change(table).to_csv(tmp_path / "theirs.csv", index=False)
    result = score(data, tmp_path / "theirs.csv", ok=False)
    assert result.returncode == 2 and words in result.stderr and "Traceback" not in result.stderr
    assert not (data.root / "external").exists()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{},happy,", "is not a valid CSV file: Length of header"),
        ("{};happy", "has the columns sample;label; expected `sample` or `path` among them, with commas between"),
    ],
)
def test_a_file_whose_cells_are_no_columns_is_refused(data, test_part, tmp_path, row, words):
    header = row.format("sample").replace("happy", "label").rstrip(",")
    (tmp_path / "theirs.csv").write_text("\n".join([header, *map(row.format, test_part["sample"])]))
    result = score(data, tmp_path / "theirs.csv", ok=False)
    assert result.returncode == 2 and words in result.stderr


def test_what_spreadsheets_write_is_read(data, test_part, tmp_path):
    """A byte order mark, other ends of lines, quotes, blanks, capitals, and the classes in another order."""
    right = np.eye(len(CLASSES))[test_part["label"]]
    table = pd.DataFrame(right, columns=[f"P_{name.upper()}" for name in CLASSES]).iloc[:, ::-1]
    table.insert(0, " Sample ", test_part["sample"])
    table["LABEL"] = [f" {CLASSES[code].upper()} " for code in test_part["label"]]
    written = table.to_csv(index=False, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    (tmp_path / "theirs.csv").write_bytes(written.encode("utf-8-sig"))
    score(data, tmp_path / "theirs.csv")
    assert read_json(data.external("fer2013", "official", "theirs", "json"))["accuracy"] == 1


def test_sample_0_answered_twice_is_refused_and_once_is_scored():
    """Such a sample is false as a condition."""
    test = pd.DataFrame({"sample": [0, 3], "path": ["a.png", "b.png"]})
    assert rows_of_samples(pd.DataFrame({"sample": ["000003", "0"]}), test, Path("theirs.csv")).tolist() == [1, 0]
    with pytest.raises(FerError, match="answers 1 sample more than once, such as 0$"):
        rows_of_samples(pd.DataFrame({"sample": ["0", "3", "0", "0"]}), test, Path("theirs.csv"))


def test_a_label_decides_between_probabilities_that_are_equal(data, test_part, tmp_path):
    table = pd.DataFrame({"sample": test_part["sample"], "label": [CLASSES[code] for code in test_part["label"]]})
    table.assign(**dict.fromkeys(CLASSES, 1 / len(CLASSES))).to_csv(tmp_path / "theirs.csv", index=False)
    score(data, tmp_path / "theirs.csv")
    assert read_json(data.external("fer2013", "official", "theirs", "json"))["accuracy"] == 1


def test_without_a_test_image_that_has_no_copy_there_is_no_accuracy_without_copies(data, test_part, tmp_path):
    audit = read_json(data.audit("fer2013", "official"))
    audit["folds"]["0"]["leaked_test"] = {"exact": test_part["sample"].tolist(), "near": []}
    write_json(data.audit("fer2013", "official"), audit)
    pd.DataFrame({"sample": test_part["sample"], "label": "happy"}).to_csv(tmp_path / "theirs.csv", index=False)
    assert "every test image has a copy in train" in score(data, tmp_path / "theirs.csv").stdout
    figures = read_json(data.external("fer2013", "official", "theirs", "json"))
    assert figures["without_leaked"] == {"n": 0, "accuracy": None, "interval": None}
    assert outside_row(figures, "", None)["without copies %"] == "–"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--name", "../../x"], "--name '../../x' is not a valid name; expected letters"),
        (["--name", "my system/2"], "--name 'my system/2' is not a valid name; expected letters"),
        (["--images", "elsewhere"], "either score the predictions or write the images"),
    ],
)
def test_a_name_that_no_study_can_list_and_two_tasks_at_once_are_refused(data, test_part, tmp_path, words, said):
    pd.DataFrame({"sample": test_part["sample"], "label": "happy"}).to_csv(tmp_path / "theirs.csv", index=False)
    result = score(data, tmp_path / "theirs.csv", *words, ok=False)
    assert result.returncode == 2 and said in result.stderr and "Traceback" not in result.stderr
    assert not list(data.root.parent.glob("**/x.json")) and not (data.root / "external").exists()
    result = score(data, tmp_path / "their.csv", ok=False)
    assert result.returncode == 2 and "their.csv does not exist; expected a CSV file" in result.stderr


def test_a_system_named_after_its_file_can_be_listed_by_a_study(data, test_part, tmp_path):
    file = tmp_path / "my predictions (2).csv"
    pd.DataFrame({"sample": test_part["sample"], "label": "happy"}).to_csv(file, index=False)
    assert score(data, file).stdout.startswith("score my_predictions_2: ")
    name = read_json(data.external("fer2013", "official", "my_predictions_2", "json"))["system"]
    study = {"name": "mine", "experiments": {"fer2013-dnn": None}, "external": [f"fer2013:official:{name}"]}
    assert params.Study(**study).external
    file.rename(tmp_path / "表.csv")
    result = score(data, tmp_path / "表.csv", ok=False)
    assert result.returncode == 2 and "give one by --name" in result.stderr


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
    written = pd.Series([str(folder / name) for name in table["file"]][::-1])
    test = table[["sample", "path"]]
    assert rows_of_samples(pd.DataFrame({"path": written}), test, folder).tolist() == list(range(len(table)))[::-1]
    assert all((folder / name).stat().st_size > 100 for name in table["file"])
    assert json.dumps(table["path"].tolist()).count("AN") > 0  # the dataset's own names: KA.AN1.39.tiff
