"""Killed at any moment of any stage: the next run finishes, and makes to the bit what an undisturbed run makes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[1]
EXPERIMENT = "jaffe-attentional_cnn-augmented_before_split"
STAGES = {
    "acquire": "acquire jaffe --source synthetic --samples 60",
    "index": "index jaffe",
    "align": "align jaffe",
    "blocks": "blocks jaffe",
    "split": "split jaffe stratified_56_11_33",
    "augment": f"augment {EXPERIMENT}",
    "train": f"train {EXPERIMENT} --set epochs=3 --device cpu --checkpoint-seconds 0",
    "evaluate": f"evaluate {EXPERIMENT} --device cpu --corrupted 20",
    "explain": f"explain {EXPERIMENT} --device cpu --set samples=1 --set stride=1 --set steps=4",
    "report": "report",
}
MEASURED = {"environment.json", "cost.json"}  # when and how fast, which is never the same twice
STUDY = {"name": "default", "experiments": {EXPERIMENT: {"epochs": 3}}, "seeds": [0], "corrupted": 20}


class Line:
    """A folder in which the stages run."""

    def __init__(self, root, environment):
        self.root, self.environment = root, environment

    def start(self, stage):
        return subprocess.Popen(
            [sys.executable, "-m", "fer", *STAGES.get(stage, stage).split()],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, stage):
        process = self.start(stage)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors

    def contents(self):
        """Return {file: bytes} of everything made so far."""
        files = [path for path in self.root.rglob("*") if path.is_file() and "params" not in path.parts]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """A line in which every stage ran undisturbed, with what each made and how long it took."""
    made = Line(tmp_path_factory.mktemp("line"), os.environ | {"PYTHONPATH": str(PROJECT)})
    shutil.copytree(PROJECT / "params", made.root / "params")
    (made.root / "params/study.yaml").write_text(yaml.safe_dump(STUDY))
    made.made, made.seconds = {}, {}
    for stage in STAGES:
        before, started = made.contents(), time.monotonic()
        made.run(stage)
        made.seconds[stage] = time.monotonic() - started
        made.made[stage] = {name: data for name, data in made.contents().items() if name not in before}
        assert made.made[stage]
    return made


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_the_run_after_a_kill_makes_what_an_undisturbed_one_makes(line, stage, times, tmp_path):
    moments, landed = random.Random(stage), 0
    for number in range(times):
        killed = Line(tmp_path / str(number), line.environment)
        shutil.copytree(line.root, killed.root, symlinks=True)
        for later in list(STAGES)[list(STAGES).index(stage) :]:
            for name in line.made[later]:
                (killed.root / name).unlink()
        before = killed.contents()
        process = killed.start(stage)
        time.sleep(moments.uniform(0.05, 0.6) * line.seconds[stage])
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=300)
        landed += process.returncode == -signal.SIGKILL  # else it was faster than ever before
        whole = before | line.made[stage]
        for name, data in killed.contents().items():
            unfinished = "/." in name or name.endswith(".checkpoint")
            assert unfinished or Path(name).name in MEASURED or data == whole[name], f"half made: {name}"
        killed.run(stage)
        ends = killed.contents()
        assert ends.keys() == whole.keys()
        assert [name for name in ends if ends[name] != whole[name] and Path(name).name not in MEASURED] == []
        shutil.rmtree(killed.root)
    assert landed
