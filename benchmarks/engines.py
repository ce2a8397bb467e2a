"""What the engines cost by themselves, and how that grows with a study: no job is run, artifacts are stand-ins.

    python benchmarks/engines.py --runs 50 150 500      the default study, then studies of so many runs
    python benchmarks/engines.py --runs                 the default study alone

Each study gets a clone of the checkout and, for every file of its DAG, a stand-in that holds its own name. A study of
so many runs has two experiments on FER2013 and as many seeds as that takes. Then each command is timed once: seconds,
and those of a processor in brackets, which other work on the machine lengthens less.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

EXPERIMENTS = ("fer2013-attentional_cnn", "fer2013-dnn")
STUDY = Path("params/study.yaml")
ENGINES = "python workflow/scripts/engines.py"
INSIDE = shlex.join([sys.executable, str(Path(__file__).absolute()), "--inside"])
COMMANDS = {
    "snakemake -n all": "snakemake --cores 2 -n all",
    "compile": f"{ENGINES} compile",
    "settle": "snakemake --touch --forceall --cores 1 --no-hooks all",
    "record all": f"{INSIDE} commit",
    "record nothing new": f"{INSIDE} commit",
    "dvc status": "dvc status",
    "check": f"{ENGINES} check",
}


def make_clone(folder: Path, runs: int | None) -> int:
    """Clone the checkout with a study of so many runs, or the default one; return how many jobs it has."""
    subprocess.run(["git", "clone", "-q", ".", str(folder)], check=True)
    (folder / "dvc.lock").unlink()
    if runs:
        study = {
            "name": "scale",
            "datasets": {"fer2013": {"source": "synthetic"}},
            "experiments": {name: {"epochs": 1} for name in EXPERIMENTS},
            "seeds": list(range(runs // len(EXPERIMENTS))),
        }
        (folder / STUDY).write_text(yaml.safe_dump(study), encoding="utf-8")
    return int(call(f"{INSIDE} fill", folder))


def inside(task: str) -> None:
    """Do a part of this in a clone, with the clone's own engines: make the stand-ins, or what `record` does in DVC."""
    sys.path.insert(0, "workflow/scripts")
    import engines

    if task == "commit":
        return engines.commit(Path("dvc.yaml"))
    with engines.dag(STUDY) as graph:
        jobs = [job for job in graph.jobs if job.shellcmd]
    for file in (str(file) for job in jobs for file in job.output):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(file, encoding="utf-8")
    print(len(jobs))


def call(command: str, folder: Path) -> str:
    """Run a command in a clone, with the package imported from there; return what it printed."""
    options = {"cwd": folder, "env": os.environ | {"PYTHONPATH": str(folder)}, "text": True, "capture_output": True}
    return subprocess.run(shlex.split(command), check=True, **options).stdout


def timed(command: str, folder: Path) -> str:
    """Run a command in a clone; return how long it took, and how long it computed."""
    started, computed = time.perf_counter(), processor_seconds()
    call(command, folder)
    return f"{time.perf_counter() - started:.1f} s ({processor_seconds() - computed:.1f})"


def processor_seconds() -> float:
    """Return the processor time of the commands that ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="*", default=[50, 150, 500])
    parser.add_argument("--inside", choices=["fill", "commit"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        return inside(arguments.inside)
    print(f"| runs | jobs | {' | '.join(COMMANDS)} |\n|--:|--:|{'--:|' * len(COMMANDS)}")
    for runs in (None, *arguments.runs):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "fer"
            jobs = make_clone(folder, runs)
            cells = [timed(command, folder) for command in COMMANDS.values()]
        print(f"| {runs or 'default'} | {jobs:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
