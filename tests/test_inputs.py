"""The digests of code and the resolved parameters: what changes them, and what does not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fer import closure, inputs, params
from fer.layout import Layout

STAGES = [(stage, "") for stage in ("align", "blocks", "split", "augment", "figures", "tables", "page")]
STAGES += [("acquire", "ckplus"), ("index", "ckplus")]
STAGES += [(stage, system) for stage in ("train", "evaluate", "explain") for system in ("dnn", "attentional_cnn")]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package that `listing` looks at."""
    shutil.copytree(closure.PACKAGE, tmp_path / "fer", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(closure, "PACKAGE", tmp_path / "fer")
    monkeypatch.setattr(closure, "CLI", tmp_path / "fer/cli")
    forget()
    yield tmp_path / "fer"
    forget()


def forget():
    closure.facts.cache_clear()
    closure.templates.cache_clear()


def changed(package, file, old, new):
    """Return the stages whose digest an edit of a file changes."""
    before = {stage: closure.listing(*stage) for stage in STAGES}
    text = (package / file).read_text()
    assert old in text
    (package / file).write_text(text.replace(old, new, 1))
    forget()
    return {stage for stage in STAGES if closure.listing(*stage) != before[stage]}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("systems/dnn.py", "\nclass ", "\n# a comment\nclass "),
        ("storage.py", '"""', '"""Reworded. '),
        ("cli/options.py", 'help="Seed of weights', 'help="The seed of weights'),
        ("errors.py", "class FerError(Exception):", "class FerError(Exception):\n    code = 2\n"),
    ],
)
def test_prose_and_what_cannot_change_an_artifact_change_no_digest(package, file, old, new):
    assert changed(package, file, old, new) == set()


def test_a_layer_in_a_helper_module_changes_the_digests_of_the_systems_that_import_it(package):
    runs = {("train", "attentional_cnn"), ("evaluate", "attentional_cnn"), ("explain", "attentional_cnn")}
    found = changed(package, "layers/spatial_transformer.py", "align_corners=False", "align_corners=True")
    assert found == runs | {("explain", "dnn")}, "explain imports it for every system"


def test_a_template_changes_the_digest_of_the_stage_that_names_it(package):
    assert changed(package, "reporting/templates/leakage.html.j2", "<h1>", "<h1 >") == {("split", "")}


def test_a_default_of_one_command_changes_the_digest_of_that_command_alone(package):
    found = changed(package, "cli/networks.py", "] = 60,", "] = 600,")
    assert found == {("train", "dnn"), ("train", "attentional_cnn")}


@pytest.mark.parametrize(
    ("stage", "plugin", "modules"),
    [("split", "", "fer.cli.data"), ("train", "dnn", "fer.cli.networks, fer.systems.dnn")],
)
def test_every_module_that_a_command_imports_counts_or_is_known_to_be_neutral(stage, plugin, modules):
    program = f"import sys, fer.stages.{stage}, {modules}\n"
    program += "print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'fer'))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {Path(name).relative_to(closure.PACKAGE) for name in result.stdout.split()}
    listed = {Path(line.split()[1]).relative_to("fer") for line in closure.listing(stage, plugin).splitlines()}
    unlisted = {path.parts[0].removesuffix(".py") for path in loaded - listed}
    imported_by_neutral = {"checkout", "expressions", "folds", "wording"}
    assert unlisted <= closure.NEUTRAL | imported_by_neutral


def test_files_are_written_where_they_differ_and_removed_where_they_are_not_wanted(tmp_path):
    study = params.load_study(params.STUDY).model_copy(update={"root": str(tmp_path / "study")})
    inputs.write(study)
    folder = Layout(tmp_path / "study").inputs()[1]
    dates = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    (folder / "train.gone.json").write_text("{}")
    edited = folder / "split.fer2013.json"
    edited.write_text("{}")
    inputs.write(study)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == dates.keys()
    assert {path for path, date in dates.items() if path.stat().st_mtime_ns != date} == {edited}


def test_a_stage_s_parameters_have_no_prose_and_only_its_own_keys():
    found = {name: values for name, values in inputs.parameters(params.load_study(params.STUDY))}
    assert "citation" in found["report",]["datasets"]["fer2013"]
    for (stage, *_), values in found.items():
        assert stage == "report" or "citation" not in str(values)
    assert "audit" in found["split", "fer2013"] and "audit" not in found["align", "fer2013"]
    assert "samples" in found["acquire", "fer2013"] and "samples" not in found["index", "fer2013"]


def test_a_key_of_a_dataset_that_no_stage_claims_alone_counts_for_every_stage():
    assert inputs.ALONE.keys() <= params.Dataset.model_fields.keys()
    for stage in inputs.OF_DATASET:
        assert inputs.used_by(stage, {"new_key": 1, "citation": ""}) == {"new_key": 1}
