"""What the report shows of significance, calibration and robustness, from run folders of known contents."""

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fer import layout
from fer.evaluation.intervals import difference_interval
from fer.evaluation.metrics import confidence_bins
from fer.evaluation.significance import mcnemar
from fer.evaluation.summary import partners, summary
from fer.params import Study
from fer.reporting import autopsy, budget, comparison, figures, robustness, significance
from fer.reporting.results import Result, collect
from fer.reporting.significance import by_pair
from fer.reporting.tables import Table
from fer.storage import read_json, write_json

NAMES = ("fer2013-attentional_cnn", "fer2013-dnn")
CORRUPTED = {0: 0.9, 1: 0.8, 2: 0.6, 3: 0.3}  # accuracy by severity


@pytest.fixture
def results(data):
    """Two experiments of two seeds: the first is right on 70 samples of 100, the second on 60 of them, equally sure."""
    experiments = dict.fromkeys(NAMES)
    study = Study(name="test", root="x", experiments=experiments, seeds=[0, 1])
    found = collect(study.model_copy(update={"root": str(data.root)}))
    for result, right in zip(found, (70, 60), strict=True):
        for run in result.runs:
            write_run(run, np.arange(100) < right)
    return found


def write_run(run, correct, epochs=2, validation=0.5, answer=None):
    """Write the files of a run; `answer`: the class that it gives every image."""
    run.folder.mkdir(parents=True)
    labels = np.arange(len(correct)) % 7
    table = pd.DataFrame({"sample": np.arange(100), "cluster": np.arange(100).astype(str), "label": labels})
    table["predicted"] = np.where(correct, labels, (labels + 1) % 7)
    if answer is not None:
        table["predicted"] = answer
    for code, name in enumerate(run.dataset.classes):
        table[f"p_{name}"] = np.where(table["predicted"] == code, 0.7, 0.05)
    known = {"recipe": run.recipe.model_dump(mode="json"), "input": run.system.input.model_dump(), "views": "face"}
    known |= {"architecture": {}, "overrides": run.overrides, "data": {"crops": "0" * 64}}
    write_json(run.folder / layout.PARAMETERS, known)
    write_json(run.folder / layout.ENVIRONMENT, {"seconds": 1.0, "peak_memory_mb": 1.0})
    history = pd.DataFrame({"epoch": range(epochs), "step": range(10, 10 * epochs + 1, 10), "val_accuracy": validation})
    history.to_csv(run.folder / layout.HISTORY, index=False)
    rows = [("none", 0, 100, CORRUPTED[0], 0.5)]
    rows += [
        (name, severity, 100, CORRUPTED[severity], 0.5) for name in ("jpeg", "occlusion") for severity in (1, 2, 3)
    ]
    columns = ["corruption", "severity", "n", "accuracy", "macro_recall"]
    bins = confidence_bins(labels, table.filter(like="p_").to_numpy())
    cost = {"parameters": 1, "flops": 1, "milliseconds": 1.0}
    found = summary(run, table, bins, pd.DataFrame(rows, columns=columns), cost)
    write_json(run.folder / layout.SUMMARY, found | {"synthetic": True})


def change(run, name, **columns):
    """Give a table of a run's summary other columns."""
    found = read_json(run.folder / layout.SUMMARY)
    found[name] = pd.DataFrame(found[name]).assign(**columns).to_dict("list")
    write_json(run.folder / layout.SUMMARY, found)


def test_the_difference_that_is_tested_is_that_of_the_results_table(results):
    row = significance.comparisons(results).iloc[0]
    assert (row["dataset"], row["first"], row["second"], row["n"]) == ("fer2013", *NAMES, 100)
    assert row["difference"] == pytest.approx(results[0].mean("accuracy") - results[1].mean("accuracy"))
    assert row["p"] == row["p_holm"] == pytest.approx(mcnemar(10, 0)[0]), (
        "both seeds answer alike: ten discordant samples"
    )


def test_the_reliability_diagram_pools_the_seeds_and_stamps_synthetic_faces(results, tmp_path, monkeypatch):
    table = figures.reliability(results[0])
    (filled,) = table[table["n"] > 0].to_dict("records")
    assert (filled["n"], filled["accuracy"]) == (200, pytest.approx(0.7))
    assert filled["confidence"] == pytest.approx(0.7) and filled["bin_low"] <= 0.7 < filled["bin_high"]
    titles = written_titles(monkeypatch, figures)
    figures.reliability_diagram(results[0], tmp_path / "reliability.png")
    assert (tmp_path / "reliability.png").read_bytes().startswith(b"\x89PNG")
    assert titles == ["fer2013-attentional_cnn\nECE 0.0 % (SYNTHETIC)"]


def written_titles(monkeypatch, module):
    titles, original = [], module.title
    monkeypatch.setattr(module, "title", lambda *given: titles.append(original(*given)) or titles[-1])
    return titles


def test_the_table_of_corruptions_averages_the_seeds_beside_the_images_untouched(results):
    change(results[0].runs[1], "robustness", accuracy=lambda table: table["accuracy"] - 0.2)
    shown = robustness.accuracies(results[0])
    assert shown.index.tolist() == ["jpeg", "occlusion"] and (shown["n"] == 100).all()
    for severity, accuracy in CORRUPTED.items():
        assert shown[severity].to_numpy() == pytest.approx(accuracy - 0.1)


def test_folds_of_other_sizes_weigh_by_their_images(data):
    study = Study(name="test", root="x", experiments={NAMES[0]: None}, seeds=[0, 1])
    (result,) = collect(study.model_copy(update={"root": str(data.root)}))
    for run, n, accuracy in zip(result.runs, (300, 100), (1.0, 0.0), strict=True):
        run.folder.mkdir(parents=True)
        rows = {"corruption": ["none", "jpeg"], "severity": [0, 1], "n": [n, n], "accuracy": [accuracy] * 2}
        write_json(run.folder / layout.SUMMARY, {"robustness": rows})
    assert robustness.accuracies(result).loc["jpeg", [0, 1]].tolist() == [0.75, 0.75]


def test_experiments_stand_below_one_another_and_one_that_sees_no_image_has_no_rows(results):
    assert robustness.table(results)["experiment"].tolist() == [NAMES[0]] * 2 + [NAMES[1]] * 2
    for run in results[1].runs:
        found = read_json(run.folder / layout.SUMMARY)
        write_json(run.folder / layout.SUMMARY, found | {"robustness": {key: [] for key in found["robustness"]}})
    results = [results[0], Result(results[1].runs)]
    shown = robustness.table(results)
    assert shown["experiment"].tolist() == [NAMES[0]] * 2
    assert list(shown.columns) == ["experiment", "corruption", "n", 0, 1, 2, 3]
    assert robustness.summary(results).frame["experiment"].tolist() == [NAMES[0]]


def test_clusters_and_losses_stand_beside_the_accuracy_on_corrupted_images(results):
    for run in results[0].runs:
        change(run, "answers", cluster=(np.arange(100) // 10).astype(str))
        change(run, "robustness", n=4)
    table = robustness.summary(results)
    assert table.frame["clusters"].tolist() == ["4", "100"], "images 0, 33, 66 and 99 are of four people"
    assert table.numbers["clusters"].tolist() == [4, 4, 100, 100]
    assert table.frame["no face %"].tolist() == table.frame["copies %"].tolist() == ["0.0", "0.0"]


def test_visible_and_infrared_images_of_a_pair_are_one_sample_when_systems_are_compared(tmp_path):
    index = pd.DataFrame({"sample": [0, 1, 2, 3, 4], "pair": ["a", "b", None, "b", "a"]})
    index.to_parquet(tmp_path / "index.parquet")  # visible 0, 1; infrared 3, 4
    partner = partners(tmp_path / "index.parquet")
    assert partner.tolist() == [4, 3, 2, 1, 0]

    def numbers(samples):
        predictions = pd.DataFrame({"sample": samples, "partner": partner[samples]})
        return by_pair(SimpleNamespace(predictions=predictions))["sample"].tolist()

    assert numbers([0, 1]) == [0, 1] and numbers([4, 3]) == [0, 1] and numbers([2, 0]) == [2, 0]


def test_figures_of_real_faces_are_not_stamped(results, data, tmp_path, monkeypatch):
    results[0].summaries[0]["synthetic"] = False
    titles = written_titles(monkeypatch, figures)
    figures.reliability_diagram(results[0], tmp_path / "reliability.png")
    assert "SYNTHETIC" not in titles[0]


BASE = "fer2013-attentional_cnn"
DROPOUT, ON_TEST = f"{BASE}-dropout_at_evaluation", f"{BASE}-epoch_chosen_on_test"
ONE_STEP = "fer2013-acnn_alstm-one_step"


def collected(data, experiments, seeds=(0,)):
    study = Study(name="test", root="x", experiments=experiments, seeds=list(seeds))
    return collect(study.model_copy(update={"root": str(data.root)}))


def test_a_row_of_the_autopsy_differs_by_its_change_alone_and_has_a_paired_interval(data):
    base, dropout, on_test, lonely = collected(data, dict.fromkeys((BASE, DROPOUT, ON_TEST, ONE_STEP)))
    numbers = np.arange(100)
    for result, correct in ((base, numbers < 70), (dropout, numbers % 10 < 5), (lonely, numbers < 60)):
        write_run(result.first, correct)
    write_run(on_test.first, numbers < 90)
    moved = np.arange(1, 101)
    change(on_test.first, "answers", sample=moved, partner=moved)
    table = autopsy.autopsy([base, dropout, on_test, lonely])
    assert table.frame["against"].tolist() == [BASE, BASE, "", "fer2013-acnn_alstm (not in this study)"]
    assert table.frame["difference"].tolist()[1:] == ["other test images", "", ""]
    row = table.numbers.set_index("experiment").loc[DROPOUT]
    expected = difference_interval(numbers % 10 < 5, numbers < 70)
    assert row["difference"] == pytest.approx(-0.2) and (row["low"], row["high"]) == (expected.low, expected.high)
    assert row["p"] == pytest.approx(mcnemar(15, 35)[0])
    low, high = (f"{100 * bound:+.1f}".replace("-", "−") for bound in (expected.low, expected.high))
    assert table.frame["difference"][0] == f"−20.0 ({low} to {high})" and table.frame["p"][0] == f"{row['p']:.3g}"
    assert table.numbers["difference"].notna().sum() == 1


def test_a_variant_without_its_like_says_why_it_is_not_compared(data):
    name = "fer2013-cnn_lstm-as_published"
    for kind in (data.split, data.audit):
        shutil.copy(kind("fer2013", "official"), kind("fer2013", "stratified_70_15_15"))
    (result,) = collected(data, {name: None})
    write_run(result.first, np.arange(100) < 50)
    (row,) = autopsy.autopsy([result]).frame.to_dict("records")
    assert row["against"] == "not compared: its split differs, and so does its network" and row["difference"] == ""


@pytest.mark.parametrize(
    ("first", "second", "epochs", "budget"),
    [
        ({"epochs": 2}, {"epochs": 2}, (2, 2), "equal"),
        ({"epochs": 2}, {"epochs": 4}, (2, 4), "unequal (2 of 500 epochs, 48 px; 4 of 80 epochs, 48 px)"),
        ({}, {}, (500, 80), "each in full"),
        (
            {"epochs": 2},
            {"epochs": 2, "size": 32},
            (2, 2),
            "unequal (2 of 500 epochs, 48 px; 2 of 80 epochs, 32 of 48 px)",
        ),
    ],
)
def test_significance_marks_pairs_of_unequal_budget(data, first, second, epochs, budget):
    found = collected(data, {BASE: first, "fer2013-fer_baseline": second})
    for result, right, each in zip(found, (70, 60), epochs, strict=True):
        write_run(result.first, np.arange(100) < right, each)
    table = significance.table(found)
    assert table.frame["budget"].tolist() == table.numbers["budget"].tolist() == [budget]
    assert "budget is unequal" in table.note
    assert table.frame["clusters"].tolist() == ["100"] and table.numbers["clusters"].tolist() == [100]


def test_significance_marks_a_system_that_never_learned(data):
    found = collected(data, {BASE: {"epochs": 2}, "fer2013-fer_baseline": {"epochs": 2}})
    for result, validation in zip(found, (0.5, 0.1), strict=True):
        write_run(result.first, np.arange(100) < 70, validation=validation)
    assert significance.table(found).frame["budget"].tolist() == ["equal; fer2013-fer_baseline: never learned"]


def test_what_a_study_changes_counts_as_a_deviation_and_is_listed(data):
    changed = {"epochs": 2, "batch_size": 8, "size": 32, "learning_rate": 0.005}
    (plain,), (result,) = (collected(data, {BASE: values}) for values in ({}, changed))
    write_run(result.first, np.arange(100) < 70)
    own = result.deviations
    found = read_json(plain.first.folder / layout.SUMMARY)
    found["parameters"]["overrides"] = {}
    write_json(plain.first.folder / layout.SUMMARY, found)
    (plain,) = collected(data, {BASE: {}})
    assert own[: len(plain.deviations)] == plain.deviations and own[len(plain.deviations) :] == [
        "This study: batch_size 8 (the recipe: batch_size 128)",
        "This study: epochs 2 (the recipe: epochs 500)",
        "This study: size 32 (the recipe: size 48)",
    ], "the learning rate is the recipe's own"


def test_test_images_with_a_copy_in_train_stand_beside_the_figure_with_the_accuracy_without_them(data):
    audit = read_json(data.audit("fer2013", "official"))
    audit["folds"]["0"]["leaked_test"] = {"exact": list(range(6)), "near": list(range(6, 10))}
    write_json(data.audit("fer2013", "official"), audit)
    (result,) = collected(data, {BASE: {"epochs": 2}})
    write_run(result.first, np.arange(100) < 70)
    for table in (comparison.overview([result]), comparison.of_dataset("fer2013", [result])):
        assert table.frame["copies %"].tolist() == ["10.0 (66.67 without)"]
        row = table.numbers.iloc[0]
        assert (row["copies"], row["accuracy_without_copies"]) == (pytest.approx(0.1), pytest.approx(60 / 90))
    assert (
        "10.0 % of the test images have a duplicate in train. On the others the accuracy is 66.67 %" in result.reading
    )
    write_json(data.audit("fer2013", "official"), audit | {"kept": {}})
    (clean,) = collected(data, {BASE: {"epochs": 2}})
    assert clean.losses.copied() == "0.0", "they were removed from train"


def test_images_without_a_face_stand_beside_the_figure_and_by_class_in_the_dataset_s_note(data):
    counts = read_json(data.faces_counts("fer2013"))
    counts["modalities"]["visible"] |= {"detected": [30, *[60] * 6], "several": [2, 1, 0, 0, 0, 0, 0]}
    write_json(data.faces_counts("fer2013"), counts)
    (result,) = collected(data, {BASE: {"epochs": 2}})
    write_run(result.first, np.arange(100) < 70)
    table = comparison.of_dataset("fer2013", [result])
    assert table.frame["no face %"].tolist() == ["7.1"] and table.numbers["without_face"][0] == pytest.approx(30 / 420)
    assert "Without a face: 7.1 % of the visible images (angry 50.0, disgust 0.0," in table.note
    assert "With several faces: 3 of 420 visible images, cut by the largest clear one." in table.note


@pytest.mark.parametrize(
    ("answer", "validation", "trained"),
    [(0, 0.5, "2 of 500 epochs, 48 px; never learned"), (None, 1 / 7, "2 of 500 epochs, 48 px; never learned")]
    + [(None, 0.5, "2 of 500 epochs, 48 px")],
    ids=["one answer for all", "the largest class's share on validation", "a network that learned"],
)
def test_a_run_that_never_learned_is_marked_in_its_row(data, answer, validation, trained):
    (result,) = collected(data, {BASE: {"epochs": 2}})
    write_run(result.first, np.arange(100) < 70, validation=validation, answer=answer)
    assert comparison.overview([result]).frame["trained"].tolist() == [trained]


def test_of_several_runs_those_that_never_learned_are_counted_and_folds_left_out_are_named(data, monkeypatch):
    found = collected(data, {BASE: {"epochs": 2}}, seeds=(0, 1))
    for run, validation in zip(found[0].runs, (0.5, 0.1), strict=True):
        write_run(run, np.arange(100) < 70, validation=validation)
    monkeypatch.setattr("fer.reporting.budget.experiment_folds", lambda _: list("0123456789"))
    assert found[0].trained == "2 of 500 epochs, 48 px, 1 of 10 folds; 1 of 2 runs never learned"


@pytest.mark.parametrize(("keep", "marked"), [("best", 1), ("last", 3)])
def test_the_mark_of_the_learning_curves_is_the_epoch_that_was_kept(data, tmp_path, monkeypatch, keep, marked):
    (result,) = collected(data, {BASE: {"epochs": 4}})
    write_run(result.first, np.arange(100) < 70, 4)
    change(result.first, "history", val_accuracy=[0.2, 0.6, 0.5, 0.4], train_loss=0.5, val_loss=0.5, train_accuracy=0.5)
    found = read_json(result.first.folder / layout.SUMMARY)
    found["parameters"]["recipe"]["keep"] = keep
    write_json(result.first.folder / layout.SUMMARY, found)
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, target: drawn.append(figure))
    figures.curves(result, tmp_path / "curves.png")
    marks = [line.get_xdata() for axes in drawn[0].axes for line in axes.lines if line.get_marker() == "o"]
    assert [list(mark) for mark in marks] == [[marked]] * 2


def test_latex_reads_nothing_in_the_text_of_a_table():
    change = "$ ^ ~ { } \\ % _ & # ± −"
    frame = pd.DataFrame([{"change": change, "50 %": "1"}])
    text = Table("x", change, f"{change}.", frame, frame, False).latex()
    escaped = r"\$ \textasciicircum \space \textasciitilde \space \{ \} \textbackslash \space \% \_ \& \# $\pm$ $-$"
    assert text.count(escaped) == 3 and rf"\caption{{{escaped}}}" in text and r"change & 50 \% \\" in text
    assert rf"\parbox{{\linewidth}}{{{escaped}.}}" in text


def test_a_table_without_columns_is_latex_too():
    """As the ablations of a study that has none."""
    assert "A note." in Table("x", "Nothing", "A note.", pd.DataFrame(), pd.DataFrame(), False).latex()


def test_a_wide_table_is_several_of_a_page_s_width_in_latex():
    wide = {f"column {number}": ["x" * 30] for number in range(7)}
    text = Table("x", "Wide", "A note.", pd.DataFrame({"experiment": ["a-b"], **wide}), None, False).latex()
    assert text.count(r"\begin{tabular}") == 3 and text.count("a-b &") == 3 and text.count("A note.") == 1
    assert all(f"\\caption{{Wide ({number} of 3)}}" in text for number in (1, 2, 3))
    assert all(len(line) < 150 for line in text.splitlines()), "no row is wider than a page"


@pytest.mark.parametrize(("flip", "crops"), [(False, "5 crops"), (True, "10 crops")])
def test_the_budget_names_the_crops_of_a_test_image(data, flip, crops):
    (result,) = collected(data, {BASE: {}})
    recipe = result.first.recipe.override({"test_time_crop": 44, "test_time_flip": flip})
    recorded = result.first.resolved() | {"recipe": recipe.model_dump(mode="json")}
    history = pd.DataFrame({"epoch": [0]})
    assert budget.measure([result.first], [history], recorded).each().endswith(f"{crops} at test time")
