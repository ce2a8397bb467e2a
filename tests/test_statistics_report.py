"""What the report shows of significance, calibration and robustness, from run folders of known contents."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fer import layout
from fer.evaluation.significance import mcnemar
from fer.params import Study
from fer.reporting import calibration, robustness, significance
from fer.reporting.results import collect
from fer.reporting.significance import by_pair
from fer.storage import write_json

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


def write_run(run, correct):
    run.folder.mkdir(parents=True)
    labels = np.arange(len(correct)) % 7
    table = pd.DataFrame({"sample": np.arange(100), "cluster": np.arange(100).astype(str), "label": labels})
    table["predicted"] = np.where(correct, labels, (labels + 1) % 7)
    for code, name in enumerate(run.dataset.classes):
        table[f"p_{name}"] = np.where(table["predicted"] == code, 0.7, 0.05)
    table.to_parquet(run.folder / layout.PREDICTIONS)
    rows = [("none", 0, 100, CORRUPTED[0], 0.5)]
    rows += [
        (name, severity, 100, CORRUPTED[severity], 0.5) for name in ("jpeg", "occlusion") for severity in (1, 2, 3)
    ]
    columns = ["corruption", "severity", "n", "accuracy", "macro_recall"]
    pd.DataFrame(rows, columns=columns).to_csv(run.folder / layout.ROBUSTNESS, index=False)


def test_the_difference_that_is_tested_is_that_of_the_results_table(results):
    row = significance.comparisons(results).iloc[0]
    assert (row["dataset"], row["first"], row["second"], row["n"]) == ("fer2013", *NAMES, 100)
    assert row["difference"] == pytest.approx(results[0].mean("accuracy") - results[1].mean("accuracy"))
    assert row["p"] == row["p_holm"] == pytest.approx(mcnemar(10, 0)[0]), (
        "both seeds answer alike: ten discordant samples"
    )


def test_the_reliability_diagram_pools_the_seeds_and_stamps_synthetic_faces(results, tmp_path, monkeypatch):
    table = calibration.reliability(results[0])
    (filled,) = table[table["n"] > 0].to_dict("records")
    assert (filled["n"], filled["accuracy"]) == (200, pytest.approx(0.7))
    assert filled["confidence"] == pytest.approx(0.7) and filled["bin_low"] <= 0.7 < filled["bin_high"]
    titles = written_titles(monkeypatch, calibration)
    calibration.diagram(results[0], tmp_path / "reliability.png")
    assert (tmp_path / "reliability.png").read_bytes().startswith(b"\x89PNG")
    assert titles == ["fer2013-attentional_cnn\nECE 0.0 % (SYNTHETIC)"]


def written_titles(monkeypatch, module):
    titles, original = [], module.title
    monkeypatch.setattr(module, "title", lambda *given: titles.append(original(*given)) or titles[-1])
    return titles


def test_the_table_of_corruptions_averages_the_seeds_beside_the_images_untouched(results):
    second = results[0].runs[1]
    table = pd.read_csv(second.folder / layout.ROBUSTNESS)
    table.assign(accuracy=table["accuracy"] - 0.2).to_csv(second.folder / layout.ROBUSTNESS, index=False)
    shown = robustness.accuracies(results[0])
    assert shown.index.tolist() == ["jpeg", "occlusion"] and (shown["n"] == 100).all()
    for severity, accuracy in CORRUPTED.items():
        assert shown[severity].to_numpy() == pytest.approx(accuracy - 0.1)


def test_folds_of_other_sizes_weigh_by_their_images(data):
    study = Study(name="test", root="x", experiments={NAMES[0]: None}, seeds=[0, 1])
    (result,) = collect(study.model_copy(update={"root": str(data.root)}))
    for run, n, accuracy in zip(result.runs, (300, 100), (1.0, 0.0), strict=True):
        run.folder.mkdir(parents=True)
        rows = f"none,0,{n},{accuracy},0\njpeg,1,{n},{accuracy},0\n"
        (run.folder / layout.ROBUSTNESS).write_text("corruption,severity,n,accuracy,macro_recall\n" + rows)
    assert robustness.accuracies(result).loc["jpeg", [0, 1]].tolist() == [0.75, 0.75]


def test_experiments_stand_below_one_another_and_one_that_sees_no_image_has_no_rows(results, tmp_path, monkeypatch):
    assert robustness.table(results)["experiment"].tolist() == [NAMES[0]] * 2 + [NAMES[1]] * 2
    for run in results[1].runs:
        (run.folder / layout.ROBUSTNESS).write_text("corruption,severity,n,accuracy,macro_recall\n")
    shown = robustness.table(results)
    assert shown["experiment"].tolist() == [NAMES[0]] * 2
    assert list(shown.columns) == ["experiment", "corruption", "n", 0, 1, 2, 3]
    titles = written_titles(monkeypatch, robustness)
    for result in results:
        robustness.curves(result, tmp_path / f"{result.name}.png")
        assert (tmp_path / f"{result.name}.png").read_bytes().startswith(b"\x89PNG")
    assert "(n = 100) (SYNTHETIC)" in titles[0] and "(none: the system sees no image)" in titles[1]


def test_visible_and_infrared_images_of_a_pair_are_one_sample_when_systems_are_compared(tmp_path):
    index = pd.DataFrame({"sample": [0, 1, 2, 3, 4], "pair": ["a", "b", None, "b", "a"]})  # visible 0, 1; infrared 3, 4
    index.to_parquet(tmp_path / "index.parquet")
    first = SimpleNamespace(data={"index": tmp_path / "index.parquet"})

    def numbers(samples):
        return by_pair(SimpleNamespace(first=first, predictions=pd.DataFrame({"sample": samples})))["sample"].tolist()

    assert numbers([0, 1]) == [0, 1] and numbers([4, 3]) == [0, 1] and numbers([2, 0]) == [2, 0]


def test_figures_of_real_faces_are_not_stamped(results, data, tmp_path, monkeypatch):
    write_json(data.counts("fer2013"), {"synthetic": False})
    titles = written_titles(monkeypatch, calibration)
    calibration.diagram(results[0], tmp_path / "reliability.png")
    assert "SYNTHETIC" not in titles[0]
