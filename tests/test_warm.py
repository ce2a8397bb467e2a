"""A command run by the warm process is the same command: arguments, folder, environment, files, status, signals."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fer import warm

PROJECT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "fer"]
TRAINING = "train fer2013-attentional_cnn --device cpu --set epochs=100000 --root"
RUN = "runs/fer2013-attentional_cnn/0.0"
STARTER = (
    "import sys, time; from fer import warm; warm.start(); print(__import__('os').environ['FER_WARM'], flush=True)"
)


@pytest.fixture(scope="module")
def process():
    """What a Snakemake run does: a process that starts the warm one, and tells its address."""
    with subprocess.Popen(
        [sys.executable, "-c", f"{STARTER}; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    ) as starter:
        starter.address = starter.stdout.readline().strip()
        yield starter
        starter.stdin.close()


@pytest.fixture
def address(process):
    return process.address


def environment(address):
    return {**os.environ, "PYTHONPATH": str(PROJECT), "FER_WARM": address}


def fer(*arguments, address="", **options):
    options = {"capture_output": True, "text": True, "env": environment(address), **options}
    return subprocess.run([*COMMAND, *arguments], **options)


def warm_processes(address):
    """Return the ids of the warm process at an address and of its forks."""
    found = subprocess.run(["pgrep", "-f", f"fer.warm .*{Path(address).parent}"], capture_output=True, text=True)
    return [int(line) for line in found.stdout.split()]


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["split", "--help"],
        ["train", "fer2013-dn"],
        ["acquire", "fer2013", "--source", "nothing there.zip"],
        ["acquire", "fer2013", "--samples", "none"],
    ],
)
def test_output_errors_and_status_are_those_of_the_command_by_hand(address, arguments):
    ours, alone = fer(*arguments, address=address), fer(*arguments)
    assert (ours.returncode, ours.stdout, ours.stderr) == (alone.returncode, alone.stdout, alone.stderr)


def test_it_works_in_the_folder_and_environment_of_who_asks(address, tmp_path):
    (tmp_path / "params").symlink_to(PROJECT / "params")
    arguments = ["--log", "own.log", "acquire", "jaffe", "--source", "synthetic", "--samples", "20"]
    result = fer(*arguments, address=address, cwd=tmp_path, env={**environment(address), "OMP_NUM_THREADS": "1"})
    assert result.returncode == 0, result.stderr
    assert "acquire jaffe: 21 originals" in result.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"params", "data", "own.log"}


def test_artifacts_are_those_of_the_command_by_hand(address, data):
    made = []
    for where in ("", address):
        result = fer(*TRAINING.replace("100000", "2").split(), str(data.root), address=where)
        assert result.returncode == 0, result.stderr
        made.append((data.root / RUN / "weights.safetensors").read_bytes())
        shutil.rmtree(data.root / RUN)
    assert made[0] == made[1]


def test_without_a_warm_process_a_command_runs_by_itself(tmp_path):
    result = fer("--help", address=str(tmp_path / "nobody"))
    assert result.returncode == 0 and "acquire" in result.stdout


def test_forks_read_our_own_modules_from_disk():
    imported = "import sys; from importlib import import_module; from fer import warm\n"
    imported += "for name in warm.LIBRARIES: import_module(name)\n"
    imported += "print(*(name for name in sys.modules if name.split('.')[0] == 'fer'))"
    result = subprocess.run([sys.executable, "-c", imported], capture_output=True, text=True, cwd=PROJECT)
    assert result.stdout.split() == ["fer", "fer.warm"]


def test_every_library_that_the_stages_import_is_imported_ahead():
    program = "import sys; from importlib import import_module; from fer import warm; from pathlib import Path\n"
    program += "for name in warm.LIBRARIES: import_module(name)\n"
    program += "ahead = set(sys.modules)\n"
    program += "for path in Path('fer/stages').glob('[a-z]*.py'): import_module(f'fer.stages.{path.stem}')\n"
    program += "new = {name.split('.')[0] for name in set(sys.modules) - ahead}\n"
    program += "print(*(new - {name.split('.')[0] for name in ahead} - set(sys.stdlib_module_names)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=PROJECT)
    assert result.returncode == 0, result.stderr
    assert set(result.stdout.split()) == set()


@pytest.fixture
def training(address, data):
    """Who asked for a training that would take hours, and is under way; also the fork that trains."""
    before = set(warm_processes(address))
    command = [*COMMAND, *TRAINING.split(), str(data.root)]
    with subprocess.Popen(command, env=environment(address), stderr=subprocess.PIPE, text=True) as client:
        assert wait_until(lambda: list((data.root / RUN).glob("*.checkpoint")))
        client.forks = set(warm_processes(address)) - before
        assert len(client.forks) == 1
        yield client
        client.kill()


def gone(processes):
    return not any(Path(f"/proc/{number}").exists() for number in processes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_who_asks_ends_the_work(training, number):
    training.send_signal(number)
    assert training.wait(timeout=60) != 0
    assert wait_until(lambda: gone(training.forks))


def test_the_work_ends_with_who_asks_even_killed(training):
    training.kill()
    assert wait_until(lambda: gone(training.forks))


def test_a_killed_fork_is_told(training):
    os.kill(*training.forks, signal.SIGKILL)
    assert "was killed" in training.communicate(timeout=60)[1]
    assert training.returncode == 128 + signal.SIGKILL


def test_the_warm_process_ends_with_the_one_that_started_it_and_leaves_nothing():
    program = f"{STARTER}; time.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment("")
    ) as starter:
        address = starter.stdout.readline().strip()
        assert wait_until(lambda: warm_processes(address))
        starter.kill()
        assert wait_until(lambda: not warm_processes(address) and not Path(address).parent.exists())


def test_a_socket_s_path_too_long_for_the_system_is_done_without(monkeypatch, tmp_path):
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.delenv(warm.ADDRESS, raising=False)
    warm.start()
    assert warm.ADDRESS not in os.environ and not list(folder.iterdir())
