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
STARTER = "import os, sys, time; from fer import warm; warm.start(); print(os.environ['FER_WARM'], flush=True)"


def environment(address="", without=()):
    """Return the variables of a command that asks at an address, and is led astray by `without` if it does not."""
    path = os.pathsep.join([*map(str, without), str(PROJECT)])
    return {**os.environ, "PYTHONPATH": path, warm.ADDRESS: address}


def fer(*arguments, env, **options):
    return subprocess.run([*COMMAND, *arguments], env=env, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def address():
    """Where the warm process answers that a process like Snakemake's started."""
    program = [sys.executable, "-c", f"{STARTER}; sys.stdin.read()"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(program, text=True, env=environment(), **pipes) as starter:
        yield starter.stdout.readline().strip()
        starter.stdin.close()


@pytest.fixture(scope="module")
def by_hand():
    return environment()


@pytest.fixture(scope="module")
def asking(address, tmp_path_factory):
    """The variables of a command that asks, and cannot run by itself."""
    blocked = tmp_path_factory.mktemp("blocked")
    (blocked / "typer.py").write_text("raise ImportError('this command runs by itself')")
    return environment(address, [blocked])


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
def test_output_errors_and_status_are_those_of_the_command_by_hand(asking, by_hand, arguments):
    asked, alone = fer(*arguments, env=asking), fer(*arguments, env=by_hand)
    assert (asked.returncode, asked.stdout, asked.stderr) == (alone.returncode, alone.stdout, alone.stderr)


def test_it_works_in_the_folder_and_environment_of_who_asks(asking, tmp_path):
    (tmp_path / "params").symlink_to(PROJECT / "params")
    arguments = ["--log", "own.log", "acquire", "jaffe", "--source", "synthetic", "--samples", "20"]
    result = fer(*arguments, env=asking, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "acquire jaffe: 21 originals" in result.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"params", "data", "own.log"}


def test_a_fork_computes_with_the_threads_that_who_asks_is_given(monkeypatch, tmp_path):
    program = "from fer import warm; import numpy, sys, threadpoolctl, os\n"
    program += "warm.limit_threads(); print({pool['num_threads'] for pool in threadpoolctl.threadpool_info()})"
    env = environment() | {"OMP_NUM_THREADS": "2"}
    late = "import os, numpy, torch; os.environ['OMP_NUM_THREADS'] = '1'\n"  # as after the fork
    result = subprocess.run([sys.executable, "-c", late + program], env=env, capture_output=True, text=True)
    assert result.stdout.strip() == "{1}", result.stderr


def test_artifacts_are_those_of_the_command_by_hand(asking, by_hand, data):
    made = []
    for env in (asking, by_hand):
        result = fer(*TRAINING.replace("100000", "2").split(), str(data.root), env=env)
        assert result.returncode == 0, result.stderr
        made.append((data.root / RUN / "weights.safetensors").read_bytes())
        shutil.rmtree(data.root / RUN)
    assert made[0] == made[1]


def test_without_a_warm_process_a_command_runs_by_itself(tmp_path):
    result = fer("--help", env=environment(str(tmp_path / "nobody")))
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
def training(address, asking, data):
    """Who asked for a training that would take hours, and is under way; also the fork that trains."""
    before = set(warm_processes(address))
    command = [*COMMAND, *TRAINING.split(), str(data.root)]
    with subprocess.Popen(command, env=asking, stderr=subprocess.PIPE, text=True) as client:
        assert wait_until(lambda: list((data.root / RUN).glob("*.checkpoint")))
        client.forks = set(warm_processes(address)) - before
        assert len(client.forks) == 1
        yield client
        client.kill()


def gone(processes):
    return not any(Path(f"/proc/{number}").exists() for number in processes)


def test_ctrl_c_to_who_asks_ends_the_work_as_by_hand(training):
    training.send_signal(signal.SIGINT)
    errors = training.communicate(timeout=60)[1]
    assert training.returncode == 130 and "Traceback" not in errors and "memory" not in errors
    assert wait_until(lambda: gone(training.forks))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_another_signal_ends_both(training, number):
    training.send_signal(number)
    errors = training.communicate(timeout=60)[1]
    assert training.returncode == -number and "memory" not in errors
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
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment()
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
