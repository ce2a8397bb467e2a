"""The report on real faces comes from kept predictions alone: `fer report real`."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer import layout, params
from fer.cli.runs import settings
from fer.layout import Layout
from fer.params import Study
from fer.reporting import external, names
from fer.reporting.kept_files import half_precision
from fer.reporting.provenance import command
from fer.reporting.results import collect
from fer.runs import Run, study_runs
from fer.stages.evaluate import evaluate
from fer.stages.train import train
from fer.storage import read_json, write_json

EXPERIMENT, VARIANT = "fer2013-attentional_cnn", "fer2013-attentional_cnn-dropout_at_evaluation"
REAL = Path("reports/real")
CLASSES = params.load_dataset("fer2013").classes


def fer(*words, ok=True):
    result = subprocess.run([sys.executable, "-m", "fer", *map(str, words)], capture_output=True, text=True)
    assert (result.returncode == 0) == ok, result.stderr
    return result


@pytest.fixture(scope="module")
def measured(learnable, tmp_path_factory):
    """A study of one experiment, two seeds, and a variant, trained in a folder whose images are not called drawn."""
    root = tmp_path_factory.mktemp("measured") / "studies" / "test"
    shutil.copytree(learnable.root, root)
    place = Layout(root)
    write_json(place.counts("fer2013"), read_json(place.counts("fer2013")) | {"synthetic": False})
    short = {"epochs": 3, "batch_size": 20}
    study = Study(name="test", root="studies/test", experiments={EXPERIMENT: short, VARIANT: short}, seeds=[0, 1])
    file = root.parent / "study.yaml"
    file.write_text(json.dumps(study.model_dump(mode="json", exclude_defaults=True)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root.parents[1])
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
        shutil.copytree(Path(__file__).parents[1] / "params", root.parents[1] / "params")
        for run in study_runs(study):
            train(run, "cpu")
            evaluate(run.as_trained(), "cpu")
    return place, file


@pytest.fixture
def kept(measured, tmp_path):
    """The same, kept in a folder of its own."""
    place, file = measured
    shutil.copytree(place.root, tmp_path / "study")
    fer("report", "real", "--study", file, "--root", tmp_path / "study", "--into", tmp_path / "real")
    return Layout(tmp_path / "study"), file, tmp_path / "real"


def test_the_figures_of_the_report_on_real_faces_are_those_of_the_runs(kept):
    place, _, folder = kept
    row = pd.read_csv(folder / "results.csv").set_index("entry").loc[EXPERIMENT]
    runs = [place.run(EXPERIMENT, "0", seed) for seed in (0, 1)]
    figures = [read_json(run / layout.METRICS) for run in runs]
    accuracies = [found["accuracy"] for found in figures]
    assert row["accuracy_mean"] == pytest.approx(np.mean(accuracies))
    assert row["accuracy_std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert row["ece"] == pytest.approx(np.mean([found["ece"] for found in figures]), abs=2e-3)  # half precision
    machines = [read_json(run / layout.ENVIRONMENT) for run in runs]
    assert row["hours"] == pytest.approx(sum(machine["seconds"] for machine in machines) / 3600)
    assert row["processor"] == machines[0]["processor"] and row["commit"] == machines[0]["commit"]
    assert (
        row["command"].startswith(f"fer train {EXPERIMENT} --fold 0 --seed 0") and str(place.root) not in row["command"]
    )
    assert row["trained"] == "3 of 500 epochs, 48 px"


def test_the_command_of_a_run_is_one_for_a_shell_and_names_the_average():
    changes = {"epochs": 2, "augmentation": {"rotation": 12, "scale": 0.2}}
    run = Run(EXPERIMENT, "0", 1, changes, 1, Layout(Path("studies/test")))
    recorded = {"averaged": {"run": "an earlier run", "share": 0.2}, "recipe": {"test_time_crop": 44}}
    trained, averaged = command(run, recorded).split(" && ")
    words = shlex.split(trained)
    changed = settings([words[place + 1] for place, word in enumerate(words) if word == "--set"])
    assert params.resolve(run.experiment, params.experiment_file(run.name), changed) == run.system
    assert shlex.split(averaged)[2:7] == [
        f"studies/test/runs/{EXPERIMENT}/0.1",
        "an earlier run",
        "--share",
        "0.2",
        "--crop",
    ]
    assert command(run, {}) == trained


def test_the_report_is_made_again_byte_by_byte_without_the_runs(kept):
    place, file, folder = kept
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    shutil.rmtree(place.root)
    for path in before:
        (folder / path).unlink()
    fer("report", "real", "--study", file, "--root", place.root, "--into", folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_a_variant_stands_beside_its_base_with_a_paired_difference(kept):
    page = (kept[2] / "results.md").read_text().partition("## What each defect")[2]
    line = next(line for line in page.splitlines() if line.startswith(f"| {VARIANT} "))
    assert EXPERIMENT in line and " to " in line


def test_other_systems_stand_beside_ours_with_a_test_and_what_they_saw(kept, tmp_path):
    place, file, folder = kept
    split, index = pd.read_parquet(place.split("fer2013", "official")), pd.read_parquet(place.index("fer2013"))
    test = index[index["sample"].isin(split.loc[split["part"] == "test", "sample"])]
    labels = [CLASSES[label] for label in test["label"]]
    pd.DataFrame({"sample": test["sample"], "label": labels}).to_csv(tmp_path / "oracle.csv", index=False)
    where = ("--dataset", "fer2013", "--protocol", "official", "--root", place.root)
    fer("score", tmp_path / "oracle.csv", *where, "--saw-test", "yes", "--trained-on", "these very images")
    fer("report", "real", "--study", file, "--root", place.root, "--into", folder)
    row = pd.read_csv(folder / "results.csv").set_index("entry").loc["fer2013.official.oracle"]
    assert row["accuracy_mean"] == 1 and np.isnan(row["ece"]) and "not a test" in row["saw_test"]
    pairs = pd.read_csv(folder / "significance.csv")
    assert {"fer2013.official.oracle", EXPERIMENT} == set(pairs.loc[0, ["first", "second"]]) and 0 <= pairs["p"][0] <= 1
    assert "these very images" in (folder / "results.md").read_text()


def test_a_run_that_is_trained_again_takes_the_place_of_the_one_kept_and_others_stay(kept):
    place, file, folder = kept
    shutil.rmtree(place.run(EXPERIMENT, "0", 1))
    answers = place.run(EXPERIMENT, "0", 0) / layout.PREDICTIONS
    table = pd.read_parquet(answers)
    columns = [f"p_{name}" for name in CLASSES]
    table[columns] = np.eye(len(CLASSES), dtype=np.float32)[table["label"]]
    table.assign(predicted=table["label"]).to_parquet(answers, index=False)
    fer("report", "real", "--study", file, "--root", place.root, "--into", folder)
    found = pd.read_parquet(folder / "predictions" / f"{EXPERIMENT}.parquet")
    right = (found[columns].to_numpy().argmax(1) == found["label"]).groupby(found["seed"]).mean()
    assert right[0] == 1 and right[1] == read_json(measured_metrics(kept))["accuracy"]


def measured_metrics(kept):
    """The metrics of the second seed of the variant's base, which the copy of this test no longer has."""
    return kept[1].parent / "test" / "runs" / EXPERIMENT / "0.1" / layout.METRICS


def test_answers_on_other_datasets_are_kept_and_both_framings_stand_in_the_report(kept):
    place, file, folder = kept
    write_json(place.counts("jaffe"), {"synthetic": False})
    answers = pd.DataFrame(
        {"dataset": "jaffe", "sample": range(20), "cluster": [f"subject:{n % 10}" for n in range(20)]}
    )
    answers["label"] = np.where(answers["sample"] < 10, "anger", "fear")
    answers["predicted"] = np.where(answers["sample"] < 15, answers["label"], "anger")
    answers["predicted_as_cut"] = np.where(answers["sample"] < 5, answers["label"], "neutral")
    run = place.run(EXPERIMENT, "0", 0)
    answers.to_parquet(run / layout.TRANSFER_PREDICTIONS, index=False)
    write_json(run / layout.TRANSFER, {"jaffe": {"protocol": "leave_one_subject_out"}})
    fer("report", "real", "--study", file, "--root", place.root, "--into", folder)
    page = (folder / "results.md").read_text()
    line = next(
        line for line in page.splitlines() if line.startswith(f"| {EXPERIMENT} | JAFFE, leave one subject out ")
    )
    cells = [cell.strip() for cell in line.split("|")]
    assert (cells[3], cells[5], cells[7], cells[8]) == ("75.00", "25.00", "20", "10")
    shutil.rmtree(place.root)
    fer("report", "real", "--study", file, "--root", place.root, "--into", folder)
    assert (folder / "results.md").read_text() == page


def test_named_subsets_of_the_test_part_have_figures_of_their_own(kept):
    place, file, folder = kept
    answers = pd.read_parquet(place.run(EXPERIMENT, "0", 0) / layout.PREDICTIONS)
    chosen = answers["sample"][answers["label"] == answers["predicted"]].head(3).tolist()
    wrong = answers["sample"][answers["label"] != answers["predicted"]].head(1).tolist()
    table = pd.DataFrame({"dataset": "fer2013", "subset": "turned", "sample": chosen + wrong})
    table.to_csv(folder / "subsets.csv", index=False)
    shutil.rmtree(place.run(EXPERIMENT, "0", 1))
    for kind in ("parquet", "json"):
        (folder / "predictions" / f"{EXPERIMENT}.{kind}").unlink()
    fer("report", "real", "--study", file, "--root", place.root, "--into", folder)
    page = (folder / "results.md").read_text().partition("## Hard test images")[2]
    line = next(line for line in page.splitlines() if line.startswith(f"| {EXPERIMENT} |"))
    assert f"{100 * len(chosen) / (len(chosen) + len(wrong)):.2f} (" in line and "n 4)" in line


def test_runs_with_other_parameters_are_not_mixed(kept):
    place, file, folder = kept
    path = place.run(EXPERIMENT, "0", 1) / layout.SUMMARY
    summary = read_json(path)
    summary["parameters"]["recipe"]["learning_rate"] = 0.5
    write_json(path, summary)
    message = fer("report", "real", "--study", file, "--root", place.root, "--into", folder, ok=False).stderr
    assert "recipe.learning_rate 0.005 and 0.5" in message


def test_runs_of_an_older_version_without_a_newer_key_or_with_a_removed_one_are_of_the_same_parameters(kept):
    place, file, folder = kept
    facts = read_json(folder / "predictions" / f"{EXPERIMENT}.json")
    assert facts["parameters"]["recipe"].pop("start_from", 0) is None
    facts["parameters"]["recipe"]["progressive_sizes"] = []
    write_json(folder / "predictions" / f"{EXPERIMENT}.json", facts)
    summary = read_json(place.run(EXPERIMENT, "0", 0) / layout.SUMMARY)
    summary["parameters"]["recipe"]["progressive_sizes"] = []
    write_json(place.run(EXPERIMENT, "0", 0) / layout.SUMMARY, summary)
    shutil.rmtree(place.run(EXPERIMENT, "0", 1))
    fer("report", "real", "--study", file, "--root", place.root, "--into", folder)
    assert len(read_json(folder / "predictions" / f"{EXPERIMENT}.json")["runs"]) == 2


def test_figures_on_drawn_faces_are_refused(kept):
    place, file, folder = kept
    write_json(place.counts("fer2013"), read_json(place.counts("fer2013")) | {"synthetic": True})
    assert (
        "are synthetic"
        in fer("report", "real", "--study", file, "--root", place.root, "--into", folder, ok=False).stderr
    )


def test_a_seed_that_lacks_folds_is_kept_and_not_counted(kept):
    place, file, folder = kept
    facts = read_json(folder / "predictions" / f"{EXPERIMENT}.json")
    table = pd.read_parquet(folder / "predictions" / f"{EXPERIMENT}.parquet")
    more = table[table["seed"] == 0].assign(fold="1")
    pd.concat([table.assign(fold="0"), more]).to_parquet(folder / "predictions" / f"{EXPERIMENT}.parquet", index=False)
    facts["runs"].append(facts["runs"][0] | {"fold": "1"})
    write_json(folder / "predictions" / f"{EXPERIMENT}.json", facts)
    shutil.rmtree(place.root)
    fer("report", "real", "--study", file, "--root", place.root, "--into", folder)
    row = pd.read_csv(folder / "results.csv").set_index("entry").loc[EXPERIMENT]
    assert (row["seeds"], row["folds"]) == (1, 2)


def test_what_is_still_to_train_is_listed_with_its_hours(kept):
    """By pace.csv, else as long as the runs that are kept took; else it says that nothing was measured."""
    place, file, folder = kept
    study = json.loads(file.read_text())
    more = {"fer2013-dnn": {}, "fer2013-cnn_lstm": {}}
    wider = file.with_name("wider.yaml")
    wider.write_text(json.dumps(study | {"seeds": [0, 1, 2], "experiments": study["experiments"] | more}))
    (folder / "pace.csv").write_text("experiment,hours_a_run,measured\nfer2013-dnn,1.5,by the clock\n")
    for run in (facts := read_json(folder / "predictions" / f"{EXPERIMENT}.json"))["runs"]:
        run["environment"]["seconds"] = 7200.0
    write_json(folder / "predictions" / f"{EXPERIMENT}.json", facts)
    fer("report", "real", "--study", wider, "--root", place.root / "none", "--into", folder)
    page = (folder / "results.md").read_text().partition("## Still to train")[2]
    assert f"| {EXPERIMENT} | 1 of 3 | 2.0 |" in page
    assert "| fer2013-dnn | 3 of 3 | 4.5 |" in page
    assert "| fer2013-cnn_lstm | 3 of 3 | not measured |" in page


def test_half_precision_keeps_the_predicted_class_where_two_become_equal():
    probabilities = np.array(
        [[0.30001, 0.3, 0.2, 0.19999], [0.25, 0.2499999, 0.2500001, 0.25], [1, 0, 0, 0]], np.float32
    )
    assert half_precision(probabilities, probabilities.argmax(1)).argmax(1).tolist() == probabilities.argmax(1).tolist()


def test_the_committed_report_is_the_one_made_from_the_committed_predictions(tmp_path):
    shutil.copytree(REAL, tmp_path / "real")
    fer("report", "real", "--root", tmp_path / "nothing", "--into", tmp_path / "real")
    assert (tmp_path / "real" / "results.md").read_text() == (REAL / "results.md").read_text()


def test_a_study_s_tables_show_the_outside_systems_it_names(measured, tmp_path, monkeypatch):
    place, file = measured
    root = tmp_path / "studies" / "test"
    shutil.copytree(place.root, root)
    shutil.copytree("params", tmp_path / "params")
    split, index = pd.read_parquet(place.split("fer2013", "official")), pd.read_parquet(place.index("fer2013"))
    test = index[index["sample"].isin(split.loc[split["part"] == "test", "sample"])]
    labels = [CLASSES[label] for label in test["label"]]
    pd.DataFrame({"sample": test["sample"], "label": labels}).to_csv(tmp_path / "oracle.csv", index=False)
    where = ("--dataset", "fer2013", "--protocol", "official", "--root", root)
    fer("score", tmp_path / "oracle.csv", *where, "--saw-test", "yes", "--trained-on", "these very images")
    study = json.loads(file.read_text()) | {"external": ["fer2013:official:oracle"], "experiments": {EXPERIMENT: {}}}
    (tmp_path / "study.json").write_text(json.dumps(study))
    monkeypatch.chdir(tmp_path)
    loaded = params.load_study(Path("study.json"))
    table = external.table(loaded, collect(loaded))
    row = table.numbers.iloc[0]
    accuracy = np.mean([read_json(place.run(EXPERIMENT, "0", seed) / layout.METRICS)["accuracy"] for seed in (0, 1)])
    assert row["difference"] == pytest.approx(1 - accuracy) and row["against"] == EXPERIMENT
    assert 0 <= row["p"] <= 1 and row["low"] <= row["difference"] <= row["high"]
    assert "these very images" in table.document() and "external" in names.tables(loaded)
    study["external"] = ["ferplus:official:oracle"]
    (tmp_path / "study.json").write_text(json.dumps(study))
    assert "no experiment of this study" in fer("report", "tables", "--study", "study.json", ok=False).stderr
