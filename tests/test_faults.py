"""Killed or out of disk in any stage: nothing half-written is taken for whole, and the next run carries on."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import suppress

import pytest
from fer2013_sources import write_csv

from fer.layout import Layout

# Each stage's command (without --root), and what it makes.
STAGES = {
    "acquire": ("acquire fer2013 --source synthetic --samples 400", ["data/raw/fer2013.parquet"]),
    "index": ("index fer2013", ["data/index/fer2013.parquet", "data/index/fer2013.counts.json"]),
    "align": ("align fer2013", [f"data/faces/fer2013.{kind}" for kind in ("parquet", "npy", "counts.json")]),
    "split": (
        "split fer2013 official",
        ["data/splits/fer2013.official.parquet", "data/splits/fer2013.official.audit.json"],
    ),
    "train": (
        "train fer2013-attentional_cnn --set epochs=4 --device cpu",
        [f"runs/fer2013-attentional_cnn/0.0/{name}" for name in ("weights.safetensors", "history.csv")],
    ),
    "evaluate": (
        "evaluate fer2013-attentional_cnn --device cpu",
        [f"runs/fer2013-attentional_cnn/0.0/{name}" for name in ("predictions.parquet", "metrics.json")],
    ),
}


def command(stage, root):
    return [sys.executable, "-m", "fer.cli", *STAGES[stage][0].split(), "--root", str(root)]


def run(stage, root, **options):
    return subprocess.run(command(stage, root), capture_output=True, text=True, **options)


def contents(stage, root):
    return {name: (root / name).read_bytes() for name in STAGES[stage][1] if (root / name).exists()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder in which every stage ran undisturbed on synthetic faces."""
    root = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
        for stage in STAGES:
            assert (result := run(stage, root)).returncode == 0, result.stderr
    return root


@pytest.fixture
def before(finished, tmp_path):
    """Return a function that makes a folder with everything up to a stage."""

    def make(stage):
        root = tmp_path / "root"
        shutil.copytree(finished, root)
        for later in list(STAGES)[list(STAGES).index(stage) :]:
            for name in STAGES[later][1]:
                (root / name).unlink()
        return root

    return make


def children_of(group):
    listed = subprocess.run(["ps", "-eo", "pgid,stat"], capture_output=True, text=True).stdout.split("\n")[1:]
    return [line for line in listed if line.split()[:1] == [str(group)] and not line.split()[1].startswith("Z")]


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_a_full_disk_is_one_clear_error_and_leaves_no_artifact(stage, before, finished):
    """A limit on the size of files stands in for the full disk: writes fail in the same place, with an OSError."""
    root = before(stage)
    largest = max(len(data) for data in contents(stage, finished).values())

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (min(largest // 2, 20_000_000),) * 2)

    environment = os.environ | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    result = run(stage, root, preexec_fn=limit, env=environment)
    assert result.returncode == 1, result.stderr
    assert "error: " in result.stderr and "Traceback" not in result.stderr
    whole = contents(stage, finished)
    assert all(data == whole[name] for name, data in contents(stage, root).items())
    assert contents(stage, root).keys() != whole.keys()
    assert not [path for path in root.rglob("*.partial") if path.is_file()]
    assert run(stage, root).returncode == 0 and contents(stage, root) == whole


def test_ctrl_c_leaves_nothing_broken(before, finished):
    root = before("align")
    process = subprocess.Popen(command("align", root), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (root / "data/faces/.fer2013.npy.partial").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130 and "Traceback" not in errors, errors
    assert not list((root / "data/faces").iterdir())
    assert run("align", root).returncode == 0 and contents("align", root) == contents("align", finished)


def test_a_source_that_cannot_be_read_whole_does_not_replace_what_was_there(finished, tmp_path):
    layout = Layout(tmp_path / "root")
    shutil.copytree(finished, layout.root)
    before = layout.raw("fer2013").read_bytes()
    source = write_csv(tmp_path / "fer2013.csv")
    source.write_text(source.read_text()[:-100])
    program = [
        sys.executable,
        "-m",
        "fer.cli",
        "acquire",
        "fer2013",
        "--source",
        str(source),
        "--root",
        str(layout.root),
    ]
    assert subprocess.run(program, capture_output=True).returncode == 2
    assert layout.raw("fer2013").read_bytes() == before


# What each stage of the data has under way, in the order in which it appears.
UNDER_WAY = {
    "acquire": "data/raw/.fer2013.parquet.partial",
    "index": "data/index/.fer2013.parquet.partial",
    "align": "data/faces/.fer2013.npy.partial",
    "split": "data/splits/.fer2013.official.parquet.partial",
}


@pytest.mark.parametrize("stage", UNDER_WAY)
def test_a_stage_killed_with_all_its_processes_while_it_writes_leaves_nothing_half_made(stage, before, finished):
    root = before(stage)
    process = subprocess.Popen(
        command(stage, root), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while not (root / UNDER_WAY[stage]).exists() and process.poll() is None:
        time.sleep(0.0005)
    with suppress(ProcessLookupError):  # index and split may be faster than the eye
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=300)
    whole = contents(stage, finished)
    assert all(data == whole[name] for name, data in contents(stage, root).items())
    assert not children_of(process.pid)
    assert run(stage, root).returncode == 0 and contents(stage, root) == whole
    assert not list(root.rglob("*.partial")) and not list(root.rglob("*.synthetic"))


@pytest.mark.parametrize("stage", ["acquire", "align"])
def test_workers_of_a_killed_stage_do_not_live_on(stage, before):
    root = before(stage)
    process = subprocess.Popen(
        command(stage, root), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while len(children_of(process.pid)) < 3 and process.poll() is None:
        time.sleep(0.02)
    assert len(children_of(process.pid)) >= 3
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=300)
    deadline = time.monotonic() + 30
    while children_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not children_of(process.pid)


def parents():
    """Return {process: its parent} of every process there is."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True).stdout.split("\n")[1:-1]
    return dict(map(int, line.split()) for line in listed)


def workers_of(process):
    """Return the ids of the workers of a stage, which the server that its process started has forked."""
    of = parents()
    return [worker for worker, server in of.items() if of.get(server) == process.pid]


def test_a_worker_that_the_system_kills_as_when_memory_runs_out_is_told_in_one_line(before, finished):
    root = before("align")
    with subprocess.Popen(
        command("align", root), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (workers := workers_of(process)) and process.poll() is None:
            time.sleep(0.02)
        os.kill(workers[0], signal.SIGKILL)
        errors = process.communicate(timeout=300)[1]
    assert process.returncode == 2 and errors == "error: a worker process died; is the machine out of memory?\n"
    assert not contents("align", root) and not list(root.rglob("*.partial"))
    assert run("align", root).returncode == 0 and contents("align", root) == contents("align", finished)


def test_a_folder_for_temporary_files_with_too_long_a_path_for_a_socket_does(before, finished, tmp_path):
    """As a cluster's may be, one for each job; Python's server of worker processes listens there."""
    root, folder = before("align"), tmp_path / ("x" * 80)
    folder.mkdir()
    with subprocess.Popen(command("align", root), env=os.environ | {"TMPDIR": str(folder)}) as process:
        while (started := list(parents().values()).count(process.pid)) < 2 and process.poll() is None:
            time.sleep(0.02)
    assert started >= 2 and process.returncode == 0  # a worker, and who tracks what they share
    assert contents("align", root) == contents("align", finished)
    assert not list(folder.iterdir())


def test_a_checkpoint_with_a_flipped_bit_is_named_and_the_training_starts_anew_and_ends_the_same(before, finished):
    root = before("train")
    words = [*command("train", root), "--checkpoint-seconds", "0"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (saved := list((root / "runs").rglob("*.checkpoint"))) and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    assert process.wait(timeout=300) == -signal.SIGKILL
    (checkpoint,) = saved
    with zipfile.ZipFile(checkpoint) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    data = bytearray(checkpoint.read_bytes())
    data[largest.header_offset + largest.file_size // 2] ^= 1  # the least bit of a number: it would pass unseen
    checkpoint.write_bytes(data)
    result = run("train", root)
    assert result.returncode == 0 and f"{checkpoint} is damaged" in result.stderr
    assert contents("train", root) == contents("train", finished)
    assert not list((root / "runs").rglob("*.checkpoint"))


def errors_of(result):
    """Return the lines of standard error but those that say how far a slow machine has come."""
    return [line for line in result.stderr.splitlines() if not re.fullmatch(r"\w+: [\d,]+ of [\d,]+", line)]


@pytest.mark.parametrize("stage", UNDER_WAY)
def test_a_full_disk_is_told_in_one_line_that_names_the_file(stage, before, finished):
    root, limit = before(stage), min(map(len, contents(stage, finished).values())) // 2

    def lower():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    result = run(stage, root, preexec_fn=lower)
    assert result.returncode == 1 and not contents(stage, root)
    assert len(errors_of(result)) == 1 and errors_of(result)[0].startswith("error: ")
    assert "File too large: " in result.stderr and "fer2013" in result.stderr.partition(str(root))[2]
    assert not list(root.rglob("*.partial"))


def on_a_small_disk(options, folder, arguments):
    """Run a command with a disk of its own, mounted for it alone, in place of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mounting = f"mount -t tmpfs -o {options} tmpfs '{folder}' && exec \"$@\""
    private = ["unshare", "--mount", "--map-root-user", "sh", "-c", mounting, "sh"]
    if not shutil.which("unshare") or subprocess.run([*private, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets no one mount a disk")
    return subprocess.run([*private, *arguments], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("options", "message"), [("size=200k", "No space left on device"), ("ro", "Read-only file system")]
)
@pytest.mark.parametrize("stage", ["acquire", "align", "train"])
def test_a_disk_that_is_full_or_read_only_is_told_in_one_line(options, message, stage, before):
    root = before(stage)
    result = on_a_small_disk(options, (root / STAGES[stage][1][0]).parent, command(stage, root))
    assert result.returncode == 1, result.stderr
    lines = [line for line in errors_of(result) if "MLflow" not in line]
    assert len(lines) == 1 and lines[0].startswith("error: ") and f"{message}: " in lines[0] and str(root) in lines[0]
