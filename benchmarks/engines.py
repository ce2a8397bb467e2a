"""What the engines cost by themselves, and how that grows with a study: no job is run, artifacts are stand-ins.

    python benchmarks/engines.py --runs 50 150 500

For each size a clone of the checkout gets a study of so many runs (two experiments on FER2013, as many seeds as that
takes) and, for every file of its DAG, a stand-in that holds its own name. Then each command is timed once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

EXPERIMENTS = ("fer2013-attentional_cnn", "fer2013-dnn")
STUDY = Path("params/study.yaml")
ENGINES = "python workflow/scripts/engines.py"
COMMANDS = {
    "snakemake -n all": "snakemake --cores 2 -n all",
    "compile": f"{ENGINES} compile",
    "settle": "snakemake --touch --forceall --cores 1 --no-hooks all",
    "dvc commit": "dvc commit --force",
    "dvc status": "dvc status",
    "check": f"{ENGINES} check",
}


def make_clone(folder: Path, runs: int) -> int:
    """Clone the checkout with a study of so many runs and stand-ins for its artifacts; return how many jobs it has."""
    subprocess.run(["git", "clone", "-q", ".", str(folder)], check=True)
    (folder / "dvc.lock").unlink()
    study = {
        "name": "scale",
        "datasets": {"fer2013": {"source": "synthetic"}},
        "experiments": {name: {"epochs": 1} for name in EXPERIMENTS},
        "seeds": list(range(runs // len(EXPERIMENTS))),
    }
    (folder / STUDY).write_text(yaml.safe_dump(study), encoding="utf-8")
    return int(call([sys.executable, str(Path(__file__).absolute()), "--fill"], folder))


def fill() -> int:
    """Write a stand-in for every file of the DAG of the folder's study; return the number of its jobs."""
    sys.path.insert(0, "workflow/scripts")
    import engines

    with engines.dag(STUDY) as graph:
        jobs = [job for job in graph.jobs if job.shellcmd]
    for file in (str(file) for job in jobs for file in job.output):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(file, encoding="utf-8")
    return len(jobs)


def call(command: list[str], folder: Path) -> str:
    """Run a command in a clone, with the package imported from there; return what it printed."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, check=True, text=True, capture_output=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[50, 150, 500])
    parser.add_argument("--fill", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fill:
        print(fill())
        return
    print(f"| runs | jobs | {' | '.join(COMMANDS)} |\n|--:|--:|{'--:|' * len(COMMANDS)}")
    for runs in arguments.runs:
        with tempfile.TemporaryDirectory() as name:
            folder, seconds = Path(name) / "fer", []
            jobs = make_clone(folder, runs)
            for command in COMMANDS.values():
                started = time.perf_counter()
                call(command.split(), folder)
                seconds.append(time.perf_counter() - started)
        print(f"| {runs:,} | {jobs:,} | {' | '.join(f'{value:.1f} s' for value in seconds)} |", flush=True)


if __name__ == "__main__":
    main()
