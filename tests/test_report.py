"""The report says what was measured, beside what was published, and never passes synthetic figures off as real."""

import html
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from fer import layout, params
from fer.params import Study
from fer.reporting.results import collect
from fer.runs import study_runs
from fer.stages.evaluate import evaluate
from fer.stages.explain import explain
from fer.stages.report import report
from fer.stages.train import train
from fer.storage import read_json, write_json
from fer.tracking import entries

EXPERIMENT = "fer2013-attentional_cnn"
VARIANT = "fer2013-attentional_cnn-dropout_at_evaluation"
OTHER = "fer2013-dnn"


@pytest.fixture(scope="module")
def reported(learnable, tmp_path_factory):
    """A study of two experiments, a variant and two seeds, trained and reported from a folder of its own."""
    folder = tmp_path_factory.mktemp("reported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        shutil.copytree("params", folder / "params")
        shutil.copytree(learnable.root, folder, dirs_exist_ok=True)
        patch.chdir(folder)
        short = {"epochs": 3, "batch_size": 20}
        experiments = {EXPERIMENT: short, VARIANT: short, OTHER: {"steps": 20}}
        study = Study(name="test", experiments=experiments, seeds=[0, 1])
        for run in study_runs(study):
            train(run, "cpu")
            evaluate(run.as_trained(), "cpu")
            if run.seed == 0 and run.experiment.kind == "sound":
                explain(run.as_trained(), "cpu", {"samples": 1, "stride": 1.0, "steps": 4})
        report(study)
    return folder, study


@pytest.fixture
def folder(reported, monkeypatch):
    monkeypatch.chdir(reported[0])
    return reported[0]


def test_the_table_s_figures_are_those_of_the_runs(folder, reported):
    row = pd.read_csv(folder / "reports/results.csv").iloc[0]
    runs = [run for run in study_runs(reported[1]) if run.name == EXPERIMENT]
    accuracies = [read_json(run.folder / layout.METRICS)["accuracy"] for run in runs]
    assert row["accuracy_mean"] == pytest.approx(np.mean(accuracies))
    assert row["accuracy_std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert row["accuracy_low"] <= row["accuracy_mean"] <= row["accuracy_high"]
    assert row["n_test"] == 70 and row["seeds"] == 2 and row["parameters"] == 66_877


def test_the_table_s_figures_follow_from_the_predictions_alone(folder, reported):
    table = pd.read_csv(folder / "reports/results.csv").set_index("experiment")
    for name in (EXPERIMENT, VARIANT, OTHER):
        runs = [run for run in study_runs(reported[1]) if run.name == name]
        predictions = [pd.read_parquet(run.folder / layout.PREDICTIONS) for run in runs]
        right = [(rows["label"] == rows["predicted"]).mean() for rows in predictions]
        assert table.loc[name, "accuracy_mean"] == pytest.approx(np.mean(right))
        assert table.loc[name, "accuracy_std"] == pytest.approx(np.std(right, ddof=1))


def test_the_autopsy_sets_the_defect_beside_the_sound_experiment_and_the_published_figure(folder):
    table = pd.read_csv(folder / "reports/tables/autopsy.csv")
    assert table["experiment"].tolist() == [VARIANT, EXPERIMENT] and table["kind"].tolist() == ["defect", "sound"]
    text = (folder / "reports/tables/autopsy.md").read_text()
    defect, sound = (row for row in text.splitlines() if row.startswith(f"| {EXPERIMENT} |"))
    difference = 100 * table["accuracy_mean"].diff(-1)[0]
    shown = f"{difference:+.1f}".replace("-", "−")
    assert "dropout left on" in defect and f"| {EXPERIMENT} | {shown} (" in defect
    assert "| official |" in defect and "| sound |" in sound
    row = table.iloc[0]
    assert row["against"] == EXPERIMENT and row["low"] <= row["difference"] <= row["high"] and 0 <= row["p"] <= 1
    assert row["difference"] == pytest.approx(difference / 100) and f"| {row['p']:.3g} |" in defect


def test_variants_are_no_rows_of_the_results(folder):
    text = (folder / "reports/results.md").read_text().partition("## Autopsy")[0]
    assert f"| {EXPERIMENT} |" in text and f"| {OTHER} |" in text and VARIANT not in text


def test_every_figure_leads_to_its_runs_and_to_the_command_that_makes_it_again(folder, reported):
    page = (folder / "reports/index.html").read_text()
    for run in study_runs(reported[1]):
        assert f'href="#{run.name}"' in page and f'id="{run.name}"' in page
        assert f'href="../{run.folder}"' in page and (folder / run.folder).is_dir()
    assert "fer train fer2013-dnn --fold 0 --seed 0 --threads 1 --set steps=20 &amp;&amp; fer evaluate" in page


def test_a_model_card_says_what_the_system_must_not_be_used_for(folder):
    for system in ("attentional_cnn", "dnn"):
        text = (folder / f"reports/cards/{system}.md").read_text()
        assert "people at work or in education" in text and "2024/1689" in text
        assert params.load_system(system).citation in text


def test_two_systems_on_the_same_test_images_are_compared(folder):
    (row,) = pd.read_csv(folder / "reports/tables/significance.csv").to_dict("records")
    assert {row["first"], row["second"]} == {EXPERIMENT, OTHER} and row["n"] == 70 and 0 <= row["p"] <= 1


@pytest.fixture(scope="module")
def real(reported, tmp_path_factory):
    """The reports of the same study of real faces: the data say so, whatever the study's file names as their source."""
    folder = tmp_path_factory.mktemp("real") / "study"
    shutil.copytree(reported[0], folder)
    counts = folder / "data/index/fer2013.counts.json"
    for file in (counts, *folder.glob("runs/*/*/summary.json")):
        write_json(file, read_json(file) | {"synthetic": False})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        report(reported[1])
    return folder / "reports"


def test_the_published_figure_stands_beside_ours_with_its_source(real):
    published = params.load_experiment(EXPERIMENT).published
    for name in ("results.md", "index.html"):
        text = html.unescape((real / name).read_text())
        assert f"{100 * published.accuracy:.2f}" in text and published.source in text and published.note in text
    for name in ("results.tex", "tables/autopsy.md", "tables/dataset-fer2013.md", "tables/system-attentional_cnn.tex"):
        assert f"{100 * published.accuracy:.2f}" in (real / name).read_text()
    assert pd.read_csv(real / "results.csv")["published_accuracy"][0] == published.accuracy


def test_no_published_figure_is_printed_beside_drawn_faces(folder, reported):
    published = params.load_experiment(EXPERIMENT).published
    files = [path for path in (folder / "reports").rglob("*") if path.suffix in (".md", ".tex", ".csv", ".html")]
    assert len(files) > 20
    texts = {path: html.unescape(path.read_text()) for path in files}
    texts["MLflow"] = entries.note([run for run in study_runs(reported[1]) if run.name == EXPERIMENT])
    for path, text in texts.items():
        for secret in (f"{100 * published.accuracy:.2f}", str(published.accuracy), published.source, published.note):
            assert secret not in text, path
    for name in ("results.md", "tables/autopsy.md", "tables/dataset-fer2013.md", "tables/system-dnn.md"):
        text = (folder / "reports" / name).read_text()
        assert "published %" in text and "must not be compared with published ones" in text


@pytest.mark.parametrize(
    "name",
    ["results.md", "results.tex", "index.html", "cards/attentional_cnn.md"]
    + [f"tables/{name}.md" for name in ("autopsy", "dataset-fer2013", "system-attentional_cnn", "robustness", "cost")],
)
def test_how_long_everything_was_trained_stands_in_every_table(folder, name):
    text = (folder / "reports" / name).read_text()
    assert "trained" in text and "3 of 500 epochs, 48 px" in text


def test_steps_are_counted_as_such_and_an_unequal_budget_is_marked(folder):
    row = pd.read_csv(folder / "reports/results.csv").set_index("experiment").loc[OTHER]
    assert (row["trained_steps"], row["recipe_steps"]) == (20, 30_001)
    assert row["trained"].startswith("20 of 30,001 steps, 48 px")
    (pair,) = pd.read_csv(folder / "reports/tables/significance.csv").to_dict("records")
    assert pair["budget"] == "unequal (3 of 500 epochs, 48 px; 20 of 30,001 steps, 48 px)"
    assert pair["budget"] in (folder / "reports/tables/significance.md").read_text()


@pytest.mark.parametrize(
    "name",
    ["results.csv", "tables/autopsy.csv", "tables/dataset-fer2013.csv", "tables/system-dnn.csv", "tables/cost.csv"],
)
def test_clusters_and_losses_stand_in_every_table_of_accuracies(folder, name):
    table = pd.read_csv(folder / "reports" / name)
    assert (table["clusters"] == 70).all() and (table["without_face"] == 0).all() and (table["copies"] == 0).all()
    text = (folder / "reports" / name).with_suffix(".md").read_text()
    assert name == "tables/cost.csv" or all(f"| {key} |" in text for key in ("clusters", "no face %", "copies %"))


def test_what_the_study_changes_is_among_the_deviations(folder):
    text = (folder / "reports/results.md").read_text()
    assert "- This study: epochs 3 (the recipe: epochs 500)" in text
    assert "- This study: steps 20 (the recipe: steps 30001)" in text
    table = pd.read_csv(folder / "reports/results.csv").set_index("experiment")
    assert table.loc[EXPERIMENT, "deviations"] == len(params.load_system("attentional_cnn").deviations) + 2


def test_every_deviation_of_the_system_is_printed(folder):
    text = (folder / "reports/results.md").read_text()
    assert all(deviation in text for deviation in params.load_system("attentional_cnn").deviations)


@pytest.mark.parametrize("name", ["results.md", "results.tex", "index.html"])
def test_synthetic_figures_are_stamped_wherever_they_stand(folder, name):
    text = (folder / "reports" / name).read_text()
    assert "SYNTHETIC: measured on computer-generated faces" in text
    assert "FER2013 (SYNTHETIC)" in text
    assert all("SYNTHETIC" in caption for caption in re.findall(r"\\caption\{(.+)\}", text))


@pytest.mark.parametrize("name", ["results.md", "index.html"])
def test_what_was_found_stands_beside_the_official_counts_with_detections_and_leaks(folder, name):
    text = re.sub(r"</?t[dhr][^>]*>|\|", " ", (folder / "reports" / name).read_text())
    assert re.search(r"train(\s+40){7}\s+280\s+28,709\s+28,429", text), (
        "each class, the sum, the official sum, the difference"
    )
    assert re.search(r"visible(\s+100\.0 %){8}\s+0\s+420\s+0", text)
    assert "images in which it finds more than one face" in text
    assert "nothing crosses its parts" in text and "subjects are not known" in text


@pytest.mark.parametrize("name", ["results.md", "results.tex", "results.csv", "index.html"])
def test_real_figures_are_not_stamped(real, name):
    assert "synthetic" not in (real / name).read_text().lower()


def test_the_page_needs_no_other_file(folder):
    page = (folder / "reports/index.html").read_text()
    pictures, links = re.findall(r'src="([^"]+)"', page), re.findall(r'href="([^"]+)"', page)
    assert len(pictures) == 1 + 2 * 4 and all(link.startswith("data:") for link in pictures)
    elsewhere = {link for link in links if not link.startswith(("#", "../runs/", "cards/"))}
    own = {"leakage/fer2013.official.html", "demo.html"}
    assert elsewhere == own, "audits, cards and runs, and what `fer demo` writes, alone are pages of their own"


def test_figures_in_the_markdown_exist(folder):
    text = (folder / "reports/results.md").read_text()
    figures = re.findall(r"\]\((figures/[^)]+)\)", text)
    assert len(figures) == 1 + 2 * 4
    assert all((folder / "reports" / name).read_bytes().startswith(b"\x89PNG") for name in figures)


def test_the_latex_table_uses_booktabs_and_escapes_what_latex_would_read(folder):
    text = (folder / "reports/results.tex").read_text()
    assert r"\toprule" in text and r"\bottomrule" in text
    assert not re.search(r"(?<!\\)[%#]", text)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_every_latex_table_compiles_and_is_no_wider_than_a_page(folder, tmp_path):
    tables = [folder / "reports/results.tex", *sorted((folder / "reports/tables").glob("*.tex"))]
    lines = [r"\documentclass{article}", r"\usepackage[a4paper,margin=1in]{geometry}", r"\usepackage{booktabs}"]
    lines += [r"\begin{document}", *(rf"\input{{{path}}}" + "\n" + r"\clearpage" for path in tables), r"\end{document}"]
    (tmp_path / "paper.tex").write_text("\n".join(lines))
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert result.returncode == 0, result.stdout[-2000:]
    assert (tmp_path / "paper.pdf").read_bytes().startswith(b"%PDF")
    assert "too large" not in result.stdout, "a table is no longer than a page"
    assert all(float(points) < 5 for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", result.stdout))


def test_reporting_twice_gives_the_same_files_to_the_bit(folder, reported):
    before = {path: path.read_bytes() for path in (folder / "reports").rglob("*") if path.is_file()}
    report(reported[1])
    assert {path: path.read_bytes() for path in before} == before


def test_the_deviation_over_seeds_is_left_out_for_a_single_seed(folder, reported):
    result = collect(reported[1].model_copy(update={"seeds": [0]}))[0]
    assert result.std("accuracy") is None and result.interval.low < result.interval.high
