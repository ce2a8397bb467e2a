# What the rules share: the study, checked before any job runs, and where files lie.

import functools
import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from fer import machine, params, runs, warm
from fer.errors import FerError
from fer.reporting import names
from fer.layout import (
    Layout,
    CONFUSION,
    COST,
    ENVIRONMENT,
    HISTORY,
    METRICS,
    PARAMETERS,
    PREDICTIONS,
    ROBUSTNESS,
    WEIGHTS,
    on,
)

machine.put_own_commands_first()

validate(config, "../schemas/config.schema.json")

STUDY_FILE = Path(config["study"])
try:
    STUDY = params.load_study(STUDY_FILE)
except FerError as error:
    raise WorkflowError(f"{error}\nNothing was run.") from None

# What `all` makes
EXPERIMENTS = {name: params.load_experiment(name) for name in STUDY.experiments}
LAYOUT = Layout(Path(STUDY.root))
RUN = LAYOUT.run("{experiment}", "{fold}", "{seed}")
RUNS = [
    LAYOUT.run(name, fold, seed)
    for name in EXPERIMENTS
    for fold in runs.study_folds(STUDY, name)
    for seed in STUDY.seeds
]
PROTOCOLS = runs.study_protocols(STUDY)
TRANSFERS = runs.transfers(STUDY)
TRANSFERRED = [
    on(run.folder, dataset, protocol, METRICS)
    for name, others in TRANSFERS.items()
    for run in runs.transfer_runs(STUDY, name)
    for dataset, protocol in others
]
DATA_FACTS = [path(dataset) for dataset in PROTOCOLS for path in (LAYOUT.counts, LAYOUT.faces_counts)] + [
    LAYOUT.audit(dataset, protocol) for dataset, wanted in PROTOCOLS.items() for protocol in wanted
]
DATA = [LAYOUT.blocks(dataset) for dataset in PROTOCOLS] + [
    LAYOUT.split(dataset, protocol) for dataset, wanted in PROTOCOLS.items() for protocol in wanted
]
REPORTS = [LAYOUT.reports() / name for name in ("results.md", "results.tex", "results.csv", "index.html")]
FIGURES = [
    LAYOUT.reports() / "figures" / f"{name}.{kind}.png"
    for name in names.drawn(STUDY)
    for kind in ("confusion", "curves", "reliability")
]

# A machine may have fewer cores than Snakemake is given, as by `--cores 8`. A job then claims several of those, so that
# no more jobs compute at once than the machine has cores for: eight on two cores took a fifth longer than two by two.
CORES = workflow.resource_settings.cores or 1  # unknown to `snakemake --unlock`
JOB_THREADS = STUDY.threads * max(1, CORES // machine.cores())

# Of a stage that works through a dataset in several processes: one such job computes while another starts or ends.
DATA_THREADS = max(1, CORES // 2)

# Claimed by a training where there is a GPU; the profile says how many there are to share (--resources gpu=2).
GPU = min(1, machine.gpus())


wildcard_constraints:
    dataset="[a-z0-9_]+",
    protocol="[a-z0-9_]+",
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


def run_of(wildcards):
    """The run of the wildcards."""
    return study_run(wildcards.experiment, wildcards.fold, int(getattr(wildcards, "seed", 0)))


@functools.cache  # several inputs of each of its jobs ask, and each time its parameters would be checked anew
def study_run(experiment, fold, seed):
    """A run, with what the study changes of it."""
    return runs.Run(experiment, fold, seed, STUDY.overrides(experiment), STUDY.threads, LAYOUT)


def first_run(wildcards):
    """The run of an experiment that is explained: its first fold and first seed."""
    return study_run(wildcards.experiment, runs.study_folds(STUDY, wildcards.experiment)[0], STUDY.seeds[0])


def run_data(wildcards):
    """The files that a run's network gets its images from."""
    return list(run_of(wildcards).data.values())


def run_params(wildcards):
    """The parameter files that decide a run."""
    experiment = EXPERIMENTS[wildcards.experiment]
    system, dataset = params.system_file(experiment.system), params.dataset_file(experiment.dataset)
    return [*params.experiment_files(wildcards.experiment), system, dataset]


def other_networks(wildcards):
    """What the trainings that must come first leave: their weights, and how they are to be built."""
    others = run_of(wildcards).predecessors.values()
    return [other.folder / name for other in others for name in (WEIGHTS, PARAMETERS)]


def pretrained(wildcards):
    """The file of weights that the study names for a backbone, if it does."""
    weights = run_of(wildcards).system.architecture.get("weights", "random")
    return [] if weights in ("random", "imagenet") else [weights]


def run_overrides(wildcards):
    return STUDY.overrides(wildcards.experiment)


def adapter(dataset):
    """The modules that read a dataset."""
    return with_siblings("datasets", params.load_dataset(dataset).adapter or dataset)


def with_siblings(package, name):
    """A module, and those of its package that it builds on."""
    own = Path(f"fer/{package}/{name}.py")
    others = re.findall(rf"^from fer\.{package}\.(\w+) import", own.read_text(), re.MULTILINE)
    return [str(own), *(f"fer/{package}/{other}.py" for other in others)]


def code_of_run(experiment):
    """The modules that decide what network an experiment has, and what it is shown."""
    cut = experiment.constant_image or experiment.views == "boxes"  # faces are cut anew when they are loaded
    return [
        *with_siblings("systems", experiment.system),
        "fer/systems/__init__.py",
        "fer/networks.py",
        "fer/training/data.py",
        *(["fer/faces/blocks.py", "fer/faces/box_geometry.py"] if cut else []),
    ]


def module(stage):
    """The module that decides the content of a stage's artifacts."""
    return f"fer/stages/{stage}.py"
