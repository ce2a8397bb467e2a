# What the rules share: the study, checked before any job runs, and where files lie.

import shlex
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from fer import machine, params, protocols
from fer.errors import FerError
from fer.layout import (
    Layout,
    CONFUSION,
    COST,
    ENVIRONMENT,
    HISTORY,
    METRICS,
    PARAMETERS,
    PREDICTIONS,
    WEIGHTS,
)

machine.put_own_commands_first()

validate(config, "../schemas/config.schema.json")

STUDY_FILE = Path(config["study"])
try:
    STUDY = params.load_study(STUDY_FILE)
except FerError as error:
    raise WorkflowError(f"{error}\nNothing was run.") from None

EXPERIMENTS = {name: params.load_experiment(name) for name in STUDY.experiments}
LAYOUT = Layout(Path(STUDY.root))
RUN = LAYOUT.run("{experiment}", "{fold}", "{seed}")
RUNS = [
    LAYOUT.run(name, fold, seed)
    for name, experiment in EXPERIMENTS.items()
    for fold in protocols.folds(experiment.protocol)
    for seed in STUDY.seeds
]
REPORTS = [LAYOUT.reports() / name for name in ("results.md", "results.tex", "results.csv", "index.html")]
FIGURES = [
    LAYOUT.reports() / "figures" / f"{name}.{kind}.png" for name in EXPERIMENTS for kind in ("confusion", "curves")
]

# Claimed by a training where there is a GPU; the profile says how many there are to share (--resources gpu=2).
GPU = min(1, machine.gpus())


wildcard_constraints:
    dataset="[a-z0-9_]+",
    protocol="[a-z_]+",
    experiment="|".join(EXPERIMENTS),
    fold="[^./]+",
    seed="[0-9]+",


def options(values=(), **flags):
    """The options of a command as one shell-safe string: overrides of the study, and its root."""
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    words += [word for name, value in dict(values).items() for word in ("--set", f"{name}={value}")]
    return shlex.join(words + (["--root", STUDY.root] if STUDY.root != "." else []))


def of_experiment(path):
    """An input function: `path(experiment)` for the experiment of the wildcards."""
    return lambda wildcards: path(EXPERIMENTS[wildcards.experiment])


def module(stage):
    """The module that decides the content of a stage's artifacts."""
    return f"fer/stages/{stage}.py"
