"""The command line as a person meets it."""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

STAGES = ("acquire", "index", "align", "blocks", "split", "augment", "train", "evaluate", "explain", "report")


def fer(*arguments, **options):
    result = subprocess.run([sys.executable, "-m", "fer", *arguments], capture_output=True, text=True, **options)
    result.stderr = re.sub(r"\x1b\[[0-9;]*m", "", result.stderr)
    return result


def test_help_names_every_stage_in_the_order_of_the_line():
    text = fer("--help").stdout
    positions = [re.search(rf"│ {stage}\b", text).start() for stage in STAGES]
    assert positions == sorted(positions)


@pytest.mark.parametrize("stage", [*STAGES, "track"])
def test_every_command_s_help_has_an_example(stage):
    result = fer(stage, "--help")
    assert result.returncode == 0 and "Example:" in result.stdout


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_found_by_its_one_word(stage):
    assert Path(f"fer/stages/{stage}.py").exists()
    assert re.search(rf"^rule {stage}(_\w+)?:", Path(f"workflow/rules/{stage}.smk").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["acquire", "fer2014"], "unknown dataset 'fer2014' (did you mean 'fer2013'?). Known: ckplus, fer2013, "),
        (["train", "fer2013-dn"], "unknown experiment 'fer2013-dn' (did you mean 'fer2013-dnn'?)"),
        (["train", "fer2013-dnn", "--set", "epoch=3"], "unknown key 'recipe.epoch' (did you mean 'epochs'?)"),
        (["train", "fer2013-dnn", "--set", "epochs=many"], "epochs: given 'many'"),
        (["train", "fer2013-dnn", "--set", "epochs"], "expected KEY=VALUE"),
        (["train", "fer2013-dnn", "--set", "epochs=[1"], "'[1' is not a valid YAML value"),
        (["train", "fer2013-dnn", "--set", "start_from=nowhere"], "nowhere is not the folder of a trained run"),
        (["train", "fer2013-dnn", "--set", "augmentation.saturation=0.2"], "saturation: given 0.2, but only one RGB"),
        (["evaluate", "fer2013-dnn", "--corrupted", "5", "--on", "jaffe:x"], "--corrupted is given with --on"),
        (["train", "fer2013-dnn", "--set", "augmentation.scale=2"], "recipe.augmentation.scale: given 2"),
        (["train", "fer2013-dnn", "--set", "test_time_crop=48"], "test_time_crop: given 48; expected less than"),
        (["train", "fer2013-dnn", "--fold", "7"], "has no fold '7'. Folds of its protocol: 0"),
        (["train", "fer2013-dnn", "--device", "tpu"], "unknown device 'tpu'. Known: auto, cpu, cuda, mps"),
        (["report", "--study", "no.yaml"], "no.yaml cannot be read"),
        (["split", "fer2013", "fair"], "unknown protocol 'fair'"),
        (["split", "fer2013", "leave_one_subject_out"], "subjects"),
        (["augment", "fer2013-dnn"], "the recipe of fer2013-dnn has no `offline`"),
        (["explain", "fer2013-dnn", "--set", "sample=3"], "unknown key 'sample' (did you mean 'samples'?)"),
        (["evaluate", "fer2013-dnn", "--on", "fer2014:official"], "unknown dataset 'fer2014'"),
        (["evaluate", "fer2013-dnn", "--on", "ckplus"], "--on ckplus: expected DATASET:PROTOCOL, such as ckplus:kfold"),
        (["evaluate", "fer2013-dnn", "--on", "jaffe:official", "--on", "ckplus:fair"], "unknown protocol 'fair'"),
    ],
)
def test_a_mistake_is_one_clear_error_and_no_traceback(arguments, message):
    result = fer(*arguments)
    assert result.returncode == 2
    assert message in result.stderr and result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr


def test_a_call_outside_the_project_s_folder_says_so(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    for words in (["acquire", "fer2013"], ["train", "fer2013-dnn"]):
        result = fer(*words, cwd=tmp_path, env=environment)
        assert result.returncode == 2 and "here: call fer in the project's folder" in result.stderr


def test_a_stage_without_the_one_before_it_says_so_and_leaves_no_folder(tmp_path):
    result = fer("index", "fer2013", "--root", str(tmp_path / "nowhere"))
    assert result.returncode == 2 and "nowhere/data/raw/fer2013.parquet does not exist" in result.stderr
    assert not (tmp_path / "nowhere").exists()


def test_a_stage_that_runs_out_of_memory_says_so_in_one_line(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30,) * 2)

    arguments = ["acquire", "fer2013", "--source", "synthetic", "--samples", str(10**9), "--root", str(tmp_path)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # whose threads' stacks would count
    result = fer(*arguments, preexec_fn=limit, env=environment)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: out of memory")


def test_torch_out_of_memory_is_said_in_one_line():
    code = "import torch; from fer.cli import main as cli; cli.app = lambda prog_name: torch.empty(1 << 50); cli.main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("error: out of memory")


def test_a_stage_says_in_one_line_what_came_of_it_and_keeps_a_full_log(data, tmp_path):
    log = tmp_path / "logs" / "train.log"
    options = ["--root", str(data.root), "--set", "epochs=2", "--device", "cpu"]
    result = fer("--log", str(log), "train", "fer2013-attentional_cnn", *options)
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"train fer2013-attentional_cnn 0\.0: best of 2 epochs: .*\[\d+\.\d s\]\n", result.stdout)
    assert result.stdout.strip() in log.read_text()


def test_the_log_of_a_stage_that_failed_is_continued_and_that_of_one_that_ended_begun_anew(data, tmp_path):
    log = tmp_path / "train.log"

    def train(epochs):
        options = ["--root", str(data.root), "--set", f"epochs={epochs}", "--device", "cpu"]
        return fer("--log", str(log), "train", "fer2013-attentional_cnn", *options)

    assert train("none").returncode == 2
    failed = log.read_text()
    log.unlink()  # as Snakemake does before it runs a job again
    assert train(1).returncode == 0
    ended = log.read_text()
    assert failed and ended.startswith(failed) and "best of 1 epoch" in ended
    assert train("none").returncode == 2
    assert log.read_text().endswith(failed[failed.index("ERROR") :]) and "best of" not in log.read_text()


def test_a_training_that_a_scheduler_ends_saves_its_last_whole_epoch(data):
    """A job that timed out or is preempted is sent SIGTERM, and killed some seconds later."""
    ending = (
        "import os, signal; from fer.stages import train; from fer.cli.main import main\n"
        "train.LiveRun.log = lambda live, row: row['epoch'] == 1 and os.kill(os.getpid(), signal.SIGTERM)\n"
        "main()"
    )
    words = ["train", "fer2013-attentional_cnn", "--root", str(data.root), "--set", "epochs=3", "--device", "cpu"]
    result = subprocess.run([sys.executable, "-c", ending, *words], capture_output=True, text=True)
    assert result.returncode == 130 and "Traceback" not in result.stderr, result.stderr
    assert "resumed after epoch 1" in fer(*words).stderr
