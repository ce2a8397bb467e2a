"""Shared fixtures: a small dataset ready for training, and clones of the project in which both engines run for real."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from fer import leakage, params
from fer.layout import Layout
from fer.stages.originals import DRAWN
from fer.storage import write_json

# A suite started in a shell's background inherits a SIGINT that is ignored; the programs it tests must not.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as under nohup

PROJECT = Path(__file__).parents[1]
CLASSES = 7


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> str:
    """An MLflow store for tests that do not care about it: making one takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture(autouse=True)
def project_folder(monkeypatch, store):
    """Every test runs from the project's folder, and never touches the user's MLflow store."""
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)


@pytest.fixture(scope="session")
def learnable(tmp_path_factory) -> Layout:
    """Index, crops and official split of 48×48 images in which a bright square's place tells the class."""
    layout = Layout(tmp_path_factory.mktemp("learnable"))
    generator = np.random.default_rng(0)
    parts = ["train"] * 280 + ["val"] * 70 + ["test"] * 70
    labels = np.arange(len(parts)) % CLASSES
    crops = generator.integers(0, 120, (len(parts), 48, 48)).astype(np.uint8)
    for crop, label in zip(crops, labels, strict=True):
        row, column = divmod(int(label), 3)
        crop[row * 16 : row * 16 + 14, column * 16 : column * 16 + 14] += 100
    for path in (layout.index("x"), layout.crops("x"), layout.split("x", "official")):
        path.parent.mkdir(parents=True)
    np.save(layout.crops("fer2013"), crops)
    samples = np.arange(len(parts), dtype=np.int32)
    unknown = dict.fromkeys(("subject", "pair", "sequence"))
    paths = [f"images/{sample:03d}.png" for sample in samples]
    known = {"sample": samples, "path": paths, "label": labels.astype(np.int8), "modality": "visible"}
    index = pd.DataFrame(known | unknown)
    table = pa.Table.from_pandas(index)
    drawn = table.schema.metadata | {DRAWN.encode(): b"true"}
    parquet.write_table(table.replace_schema_metadata(drawn), layout.index("fer2013"))
    split = pd.DataFrame({"sample": samples, "fold": "0", "part": parts})
    split.to_parquet(layout.split("fer2013", "official"))
    describe(layout, index.assign(blank=False), split)
    return layout


def describe(layout: Layout, index: pd.DataFrame, split: pd.DataFrame) -> None:
    """Write what the report reads of the data: counts, detections, the audit of the split, the sheet of faces."""
    dataset = params.load_dataset("fer2013")
    counts = {part: np.bincount(index["label"][(split["part"] == part)]).tolist() for part in ("train", "val", "test")}
    known = {"classes": dataset.classes, "found": counts, "official": dataset.official_counts, "left_out": {}}
    write_json(layout.counts("fer2013"), known | {"subjects": 0, "sequences": 0, "pairs": 0, "synthetic": True})
    each = np.bincount(index["label"]).tolist()
    faces = {"samples": each, "detected": each, "several": [0] * CLASSES, "used": each, "blank": [0] * CLASSES}
    write_json(layout.faces_counts("fer2013"), {"classes": dataset.classes, "modalities": {"visible": faces}})
    columns = {"first": np.int32, "second": np.int32, "exact": bool, "distance": np.uint8, "correlation": np.float32}
    pairs = pd.DataFrame({name: np.array([], kind) for name, kind in columns.items()})
    write_json(layout.audit("fer2013", "official"), leakage.audit_split(split, index, pairs))
    sheet = layout.figure("fer2013", "faces")
    sheet.parent.mkdir(parents=True)
    cv2.imwrite(str(sheet), np.zeros((8, 8), np.uint8))


@pytest.fixture
def data(learnable, tmp_path) -> Layout:
    """A copy of `learnable` for one test to write into."""
    shutil.copytree(learnable.root, tmp_path / "study")
    return Layout(tmp_path / "study")


class Clone:
    """A git clone of the working tree, with the package imported from it and a store of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = os.environ | {
            "PYTHONPATH": str(folder),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@example.com",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@example.com",
        }

    def run(self, command: str, ok: bool = True) -> subprocess.CompletedProcess:
        """Run a shell command in the clone; its output is `stdout`, standard error included."""
        result = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=900,  # one that hangs fails its test, not the whole suite
        )
        assert not ok or result.returncode == 0, f"{command}\n{result.stdout}"
        return result

    def edit(self, path: str, **values) -> None:
        """Set top-level keys of a YAML file."""
        file = self.folder / path
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | values, sort_keys=False))

    def commit(self, message: str) -> None:
        self.run(f"git add -A && git commit -qm '{message}'")

    def copy(self, folder: Path) -> Clone:
        """Clone this clone, as another user would: without data, logs or Snakemake's memory."""
        subprocess.run(["git", "clone", "-q", str(self.folder), str(folder)], check=True)
        return Clone(folder)


TINY = {
    "name": "tiny",
    "datasets": {"fer2013": {"source": "synthetic", "samples": 150}},
    "experiments": {"fer2013-attentional_cnn": {"epochs": 1}, "fer2013-dnn": {"steps": 3}},
    "seeds": [0],
    "explain": {"samples": 1, "stride": 1.0, "steps": 4},
}


@pytest.fixture(scope="session")
def make_clone(tmp_path_factory):
    """Return a function that clones the working tree, its study cut down to seconds; each study is compiled once."""

    @cache
    def template(study: str) -> Path:
        folder = tmp_path_factory.mktemp("clone") / "fer"
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=PROJECT,
            text=True,
            capture_output=True,
        )
        files = [name for name in listed.stdout.splitlines() if (PROJECT / name).is_file() and name != "dvc.lock"]
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)
        clone = Clone(folder)
        (folder / "params/study.yaml").write_text(study)
        clone.run("git init -q -b main")
        clone.run("python workflow/scripts/engines.py compile")
        clone.commit("the working tree")
        return folder

    def make(study: dict = TINY) -> Clone:
        folder = tmp_path_factory.mktemp("clone") / "fer"
        shutil.copytree(template(yaml.safe_dump(study, sort_keys=False)), folder, symlinks=True)
        return Clone(folder)

    return make
