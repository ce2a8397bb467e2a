"""Killed, interrupted or out of disk in any stage: nothing half made is taken for whole, and the next run makes to the
bit what an undisturbed one makes."""

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from fer2013_sources import write_csv

from fer import params
from fer.datasets import adapter
from fer.errors import FerError
from fer.layout import Layout
from fer.stages.acquire import acquire

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
UNDER_WAY = {  # what the stages of the data have under way
    "acquire": "data/raw/.jaffe.parquet.*.partial",
    "index": "data/index/.jaffe.parquet.*.partial",
    "align": "data/faces/.jaffe.npy.*.partial",
    "split": "data/splits/.jaffe.stratified_56_11_33.parquet.*.partial",
}
MEASURED = {"environment.json", "summary.json"}  # when and how fast, which is never the same twice
STUDY = {"name": "default", "experiments": {EXPERIMENT: {"epochs": 3}}, "seeds": [0], "corrupted": 20}


class Line:
    """A project's folder in which the stages run."""

    def __init__(self, root, environment):
        self.root, self.environment = root, environment

    def words(self, stage):
        return [sys.executable, "-m", "fer", *STAGES[stage].split()]

    def start(self, stage, *more, **options):
        """Start a stage, with `more` words, in a group of processes of its own."""
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE} | options
        environment = self.environment | options.pop("env", {})
        return subprocess.Popen(
            [*self.words(stage), *more], cwd=self.root, env=environment, text=True, start_new_session=True, **options
        )

    def run(self, stage, **options):
        """Run a stage; return its exit status and what it wrote to standard error."""
        process = self.start(stage, **options)
        _, errors = process.communicate(timeout=300)
        return process.returncode, errors

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
        status, errors = made.run(stage)
        assert status == 0, errors
        made.seconds[stage] = time.monotonic() - started
        made.made[stage] = {name: data for name, data in made.contents().items() if name not in before}
        assert made.made[stage]
    return made


@pytest.fixture
def before(line, tmp_path):
    """Return a function that makes a line with everything up to a stage."""

    def make(stage):
        copy = Line(tmp_path / str(len(list(tmp_path.iterdir()))), line.environment)
        shutil.copytree(line.root, copy.root, symlinks=True)
        for later in list(STAGES)[list(STAGES).index(stage) :]:
            for name in line.made[later]:
                (copy.root / name).unlink()
        return copy

    return make


def finishes(line, stage, disturbed, before):
    """Assert that nothing half made lies in the place of something whole, and that the next run makes what is due."""
    whole = before | line.made[stage]
    for name, data in disturbed.contents().items():
        unfinished = "/." in name or name.endswith(".checkpoint")
        assert unfinished or Path(name).name in MEASURED or data == whole[name], f"half made: {name}"
    status, errors = disturbed.run(stage)
    assert status == 0, errors
    ends = disturbed.contents()
    assert ends.keys() == whole.keys()
    assert [name for name in ends if ends[name] != whole[name] and Path(name).name not in MEASURED] == []


def children_of(group):
    listed = subprocess.run(["ps", "-eo", "pgid,stat"], capture_output=True, text=True).stdout.split("\n")[1:]
    return [line for line in listed if line.split()[:1] == [str(group)] and not line.split()[1].startswith("Z")]


def parents():
    """Return {process: its parent} of every process there is."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True).stdout.split("\n")[1:-1]
    return dict(map(int, line.split()) for line in listed)


def workers_of(process):
    """Return the ids of the workers of a stage, which the server that its process started has forked."""
    of = parents()
    return [worker for worker, server in of.items() if of.get(server) == process.pid]


# --- killed ---------------------------------------------------------------------------------------------------------


def kill_at_any_moment(line, stage, killed, moment):
    """Return whether a stage was still running when it was killed at `moment`, a share of its time."""
    before = killed.contents()
    process = killed.start(stage)
    time.sleep(moment * line.seconds[stage])
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=300)
    finishes(line, stage, killed, before)
    return process.returncode == -signal.SIGKILL  # else it was faster than ever before


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in UNDER_WAY])
def test_the_run_after_a_kill_makes_what_an_undisturbed_one_makes(line, stage, before):
    moment = random.Random(stage).uniform(0.05, 0.6)  # earlier where the stage is faster than it was when it was timed
    assert any(kill_at_any_moment(line, stage, before(stage), moment / divisor) for divisor in (1, 2, 4, 8))


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_the_run_after_any_of_many_kills_makes_what_an_undisturbed_one_makes(line, stage, before):
    moments = random.Random(stage)
    assert any([kill_at_any_moment(line, stage, before(stage), moments.uniform(0.05, 0.6)) for _ in range(20)])


@pytest.mark.parametrize("stage", UNDER_WAY)
def test_a_stage_killed_with_all_its_processes_while_it_writes_leaves_nothing_half_made(line, stage, before):
    killed = before(stage)
    contents = killed.contents()
    process = killed.start(stage, stderr=subprocess.DEVNULL)
    while not any(killed.root.glob(UNDER_WAY[stage])) and process.poll() is None:
        time.sleep(0.0005)
    with suppress(ProcessLookupError):  # index and split may be faster than the eye
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=300)
    assert not children_of(process.pid)
    finishes(line, stage, killed, contents)


@pytest.mark.parametrize(("stage", "more"), [("acquire", ["--samples", "2000"]), ("align", [])])
def test_workers_of_a_killed_stage_do_not_live_on(stage, more, before):
    """Workers are started for more than a second of work: so many faces take longer than that anywhere."""
    process = before(stage).start(stage, *more, stderr=subprocess.DEVNULL)
    while len(children_of(process.pid)) < 3 and process.poll() is None:
        time.sleep(0.02)
    assert len(children_of(process.pid)) >= 3
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=300)
    deadline = time.monotonic() + 30
    while children_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not children_of(process.pid)


def test_a_worker_that_the_system_kills_as_when_memory_runs_out_is_told_in_one_line(line, before):
    disturbed = before("align")
    contents = disturbed.contents()
    with disturbed.start("align") as process:
        while not (workers := workers_of(process)) and process.poll() is None:
            time.sleep(0.02)
        os.kill(workers[0], signal.SIGKILL)
        try:
            errors = process.communicate(timeout=300)[1]
        except subprocess.TimeoutExpired:  # else leaving this block would wait for it for ever
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 2 and errors == "error: a worker process died; is the machine out of memory?\n"
    assert disturbed.contents() == contents
    finishes(line, "align", disturbed, contents)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_scheduler_s_signal_leave_nothing_broken(sent, line, before):
    disturbed = before("align")
    contents = disturbed.contents()
    process = disturbed.start("align")
    while not any(disturbed.root.glob(UNDER_WAY["align"])) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130 and "Traceback" not in errors, errors
    assert disturbed.contents() == contents
    finishes(line, "align", disturbed, contents)


# --- damaged, or in the way -----------------------------------------------------------------------------------------


def test_a_source_that_cannot_be_read_whole_does_not_replace_what_was_there(tmp_path):
    reader, raw = adapter("fer2013", params.load_dataset("fer2013")), Layout(tmp_path).raw("fer2013")
    source = write_csv(tmp_path / "fer2013.csv")
    acquire(reader, str(source), 1, raw)
    before = raw.read_bytes()
    source.write_text(source.read_text()[:-100])
    with pytest.raises(FerError):
        acquire(reader, str(source), 1, raw)
    assert raw.read_bytes() == before


def test_a_folder_for_temporary_files_with_too_long_a_path_for_a_socket_does(line, before, tmp_path):
    """As a cluster's may be, one for each job; Python's server of worker processes listens there."""
    disturbed, folder = before("align"), tmp_path / ("x" * 80)
    contents = disturbed.contents()
    folder.mkdir()
    with disturbed.start("align", env={"TMPDIR": str(folder)}) as process:
        while (started := list(parents().values()).count(process.pid)) < 2 and process.poll() is None:
            time.sleep(0.02)
        process.communicate(timeout=300)
    assert started >= 2 and process.returncode == 0  # a worker, and who tracks what they share
    assert disturbed.contents() == contents | line.made["align"]
    assert not list(folder.iterdir())


def test_a_checkpoint_with_a_flipped_bit_is_named_and_the_training_starts_anew_and_ends_the_same(line, before):
    disturbed = before("train")
    contents = disturbed.contents()
    process = disturbed.start("train", stderr=subprocess.DEVNULL)
    while not (saved := list((disturbed.root / "runs").rglob("*.checkpoint"))) and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    assert process.wait(timeout=300) == -signal.SIGKILL
    (checkpoint,) = saved
    with zipfile.ZipFile(checkpoint) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    data = bytearray(checkpoint.read_bytes())
    data[largest.header_offset + largest.file_size // 2] ^= 1  # the least bit of a number: it would pass unseen
    checkpoint.write_bytes(data)
    status, errors = disturbed.run("train")
    assert status == 0 and f"{checkpoint.relative_to(disturbed.root)} is damaged" in errors
    finishes(line, "train", disturbed, contents)


# --- out of disk ----------------------------------------------------------------------------------------------------


def lines_of(errors):
    """Return the lines of standard error but those that say how far a slow machine has come."""
    return [line for line in errors.splitlines() if not re.fullmatch(r"\w+: [\d,]+ of [\d,]+", line)]


@pytest.mark.parametrize("stage", [*UNDER_WAY, "train", "evaluate"])
def test_a_full_disk_is_told_in_one_line_that_names_the_file_and_leaves_no_artifact(line, stage, before):
    """A limit on the size of files stands in for the full disk: writes fail in the same place, with an OSError."""
    disturbed = before(stage)
    contents = disturbed.contents()
    measured = {name: data for name, data in line.made[stage].items() if Path(name).name not in MEASURED}
    limit = (max if stage == "train" else min)(map(len, measured.values())) // 2

    def lower():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    environment = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    status, errors = disturbed.run(stage, preexec_fn=lower, env=environment)
    lines = [line for line in lines_of(errors) if "MLflow" not in line]
    assert status == 1 and len(lines) == 1 and lines[0].startswith("error: ") and "Traceback" not in errors, errors
    assert "File too large: " in lines[0] and "jaffe" in lines[0]
    assert disturbed.contents().keys() - contents.keys() != line.made[stage].keys()
    assert not [path for path in disturbed.root.rglob("*.partial") if path.is_file()]
    finishes(line, stage, disturbed, contents)


def on_a_small_disk(options, folder, arguments, **more):
    """Run a command with a disk of its own, mounted for it alone, in place of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mounting = f"mount -t tmpfs -o {options} tmpfs '{folder}' && exec \"$@\""
    private = ["unshare", "--mount", "--map-root-user", "sh", "-c", mounting, "sh"]
    if not shutil.which("unshare") or subprocess.run([*private, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets no one mount a disk")
    return subprocess.run([*private, *arguments], capture_output=True, text=True, **more)


@pytest.mark.parametrize(
    ("stage", "options", "message"),
    [
        ("acquire", "size=100k", "No space left on device"),
        ("align", "ro", "Read-only file system"),
    ],
)
def test_a_disk_that_is_full_or_read_only_is_told_in_one_line(stage, options, message, line, before):
    disturbed = before(stage)
    folder = (disturbed.root / max(line.made[stage], key=lambda name: len(line.made[stage][name]))).parent
    result = on_a_small_disk(options, folder, disturbed.words(stage), cwd=disturbed.root, env=disturbed.environment)
    assert result.returncode == 1, result.stderr
    lines = [line for line in lines_of(result.stderr) if "MLflow" not in line]
    named = str(folder.relative_to(disturbed.root))
    assert len(lines) == 1 and lines[0].startswith("error: ") and f"{message}: " in lines[0] and named in lines[0]
