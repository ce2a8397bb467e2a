"""What is generated is up to date, and what is written is tidy."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml


def script(name):
    spec = importlib.util.spec_from_file_location(name, f"workflow/scripts/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_dvc_yaml_is_what_the_snakefile_compiles_to():
    engines, study = script("engines"), Path("params/study.yaml")
    with engines.dag(study) as graph:
        assert Path("dvc.yaml").read_text() == engines.compiled(graph, study)


def test_dvc_lock_records_the_stages_of_dvc_yaml():
    locked, compiled = (yaml.safe_load(Path(name).read_text())["stages"] for name in ("dvc.lock", "dvc.yaml"))
    assert locked.keys() == compiled.keys(), "commit the dvc.lock that `make all` wrote"


def test_the_json_schemas_are_those_of_the_types():
    assert {path: path.read_text() for path in script("schemas").schemas()} == script("schemas").schemas()


@pytest.mark.parametrize("path", sorted(Path("params").rglob("*.yaml")), ids=str)
def test_an_editor_that_checks_a_parameter_file_by_the_schema_it_names_finds_no_mistake(path):
    named = re.match(r"# yaml-language-server: \$schema=(.+)", path.read_text())[1]
    schema = json.loads((path.parent / named).read_text())
    assert not list(jsonschema.Draft202012Validator(schema).iter_errors(yaml.safe_load(path.read_text())))


@pytest.mark.parametrize(
    "command",
    ["ruff check .", "ruff format --check .", "snakefmt --check Snakefile workflow/rules"],
)
def test_the_code_is_tidy(command):
    result = subprocess.run([sys.executable, "-m", *command.split()], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_snakemake_s_lint_finds_nothing_but_the_conda_environments_we_do_without():
    result = subprocess.run([sys.executable, "-m", "snakemake", "--lint"], capture_output=True, text=True)
    lints = re.findall(r"^    \* (.+)$", result.stdout + result.stderr, flags=re.MULTILINE)
    assert set(lints) <= {"Specify a conda environment or container for each rule.:"}


def test_the_lock_file_names_exact_versions_with_hashes_and_no_index():
    text = Path("requirements.lock").read_text()
    requirements = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert all(re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==[^ ]+( ;.*)? \\$", line) for line in requirements), requirements
    assert text.count("--hash=sha256:") >= len(requirements)
    assert "://" not in text and "file:" not in text


def test_imports_run_one_way():
    """cli → stages → parts → (params, protocols, layout, storage, errors)."""
    base = {"errors", "storage", "layout", "params", "protocols", "parallel", "progress", "machine", "registry"}
    base |= {"expressions", "checkout", "folds", "wording"}
    parts = {"sources", "datasets", "faces", "duplicates", "leakage", "systems", "training", "evaluation", "explain"}
    allowed = {
        **{name: base for name in base},
        **{name: base | parts | {"runs", "layers"} for name in parts},
        "layers": base,
        "runs": base,
        "networks": base | {"systems", "runs"},
        "starting": base | {"runs", "networks"},
        "devices": base,
        "tracking": base | {"runs"},
        "closure": set(),
        "inputs": base | {"closure", "runs"},
        "reporting": base | {"runs", "evaluation", "faces", "leakage"},
        "stages": base | parts | {"closure", "runs", "networks", "devices", "tracking", "reporting"},
    }
    for path in Path("fer").rglob("*.py"):
        own = path.relative_to("fer").parts[0].removesuffix(".py")
        if own in allowed:
            found = set(re.findall(r"^\s*from fer\.(\w+)", path.read_text(), flags=re.MULTILINE))
            found |= {
                name.strip().split(" ")[0]
                for names in re.findall(r"^\s*from fer import ([\w, ]+)", path.read_text(), flags=re.MULTILINE)
                for name in names.split(",")
            }
            assert found - {own} <= allowed[own], f"{path} imports {found - allowed[own] - {own}}"
