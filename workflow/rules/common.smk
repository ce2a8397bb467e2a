# What the rules share: the study, checked before any job runs, and where files lie.

import functools
import json
import shlex
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import Quietness
from snakemake.utils import validate

from fer import checkout, inputs, machine, params, runs, starting
from fer.errors import FerError
from fer.reporting import names
from fer.layout import (
    Layout,
    CONFUSION,
    ENVIRONMENT,
    HISTORY,
    METRICS,
    PARAMETERS,
    PREDICTIONS,
    SUMMARY,
    TRANSFER,
    TRANSFER_PREDICTIONS,
    WEIGHTS,
)

machine.put_own_commands_first()

validate(config, "../schemas/config.schema.json")

if workflow.output_settings.dryrun and Quietness.HOST in (workflow.output_settings.quiet or ()):
    # `snakemake -n` names every job; the profile keeps that from the output of a run, where each job has its own line.
    workflow.output_settings.quiet.discard(Quietness.RULES)

STUDY_FILE = Path(config["study"])
params.read_once()
try:
    STUDY = params.load_study(STUDY_FILE)
    if workflow.is_main_process:  # not each job anew
        starting.require_starts(STUDY)
except FerError as error:
    raise WorkflowError(f"{error}\nNothing was run.") from None

inputs.write(STUDY)

EXPERIMENTS = {name: params.load_experiment(name) for name in STUDY.experiments}
LAYOUT = Layout(Path(STUDY.root))
RUN = LAYOUT.run("{experiment}", "{fold}", "{seed}")
RUNS = runs.study_runs(STUDY)
PROTOCOLS = runs.study_protocols(STUDY)
TRANSFERS = runs.transfers(STUDY)
DRAWN = names.drawn(STUDY)

# What `all` makes
TRAINED = (WEIGHTS, HISTORY, PARAMETERS, ENVIRONMENT)
EVALUATED = (PREDICTIONS, METRICS, CONFUSION, SUMMARY)
RUN_FILES = [run.folder / name for run in RUNS for name in (*TRAINED, *EVALUATED)]
TRANSFERRED = [
    run.folder / name
    for experiment in TRANSFERS
    for run in runs.transfer_runs(STUDY, experiment)
    for name in (TRANSFER, TRANSFER_PREDICTIONS)
]
EXTERNAL = [LAYOUT.external(*system.split(":"), form) for system in STUDY.external for form in ("json", "parquet")]
SPLITS = [(dataset, protocol) for dataset, wanted in PROTOCOLS.items() for protocol in wanted]
DATA_FACTS = [path(dataset) for dataset in PROTOCOLS for path in (LAYOUT.counts, LAYOUT.faces_counts)]
DATA_FACTS += [LAYOUT.audit(*split) for split in SPLITS]
DATA = [
    path(dataset)
    for dataset in PROTOCOLS
    for path in (LAYOUT.raw, LAYOUT.index, LAYOUT.faces, LAYOUT.crops, LAYOUT.blocks, LAYOUT.eyes, LAYOUT.mouth)
]
DATA += [path(*split) for split in SPLITS for path in (LAYOUT.split, LAYOUT.audit_page)]
DATA += list(dict.fromkeys(file for run in RUNS for file in run.variants.values()))
SHEETS = [LAYOUT.figure(dataset, "faces") for dataset in PROTOCOLS]
EXPLANATIONS = [
    file
    for name in DRAWN
    for file in (LAYOUT.explanation(name), LAYOUT.explanation_maps(name), LAYOUT.figure(name, "explain"))
]
REPORTS = [
    LAYOUT.reports() / name for name in ("results.md", "results.tex", "results.csv", "results.json", "index.html")
]
FIGURES = [LAYOUT.figure_of(name, kind) for name in DRAWN for kind in names.FIGURES]
TABLES = [LAYOUT.table(name, form) for name in names.tables(STUDY) for form in names.FORMS]
CARDS = [LAYOUT.card(system) for system in names.systems(STUDY)]

CORES = workflow.resource_settings.cores or 1  # unknown to `snakemake --unlock`
NEEDS = yaml.safe_load(Path(workflow.basedir, "workflow", "resources.yaml").read_text(encoding="utf-8"))
NODE_THREADS = 8  # of a stage that works through a dataset in several processes, on a cluster


wildcard_constraints:
    dataset=params.NAME,
    protocol="[a-z0-9_]+",
    experiment="|".join(EXPERIMENTS) or params.NAME,
    fold=params.NAME,
    seed="[0-9]+",


def options(values=(), **flags):
    """The options of a command as one shell-safe string: overrides of the study, and its root."""
    if flags.get("threads") == 1:  # the command's own default
        del flags["threads"]
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))[: 1 if value is True else 2]]
    words += [word for name, value in dict(values).items() for word in ("--set", f"{name}={json.dumps(value)}")]
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
    return runs.Run(experiment, fold, seed, STUDY.overrides(experiment), STUDY.threads, LAYOUT, STUDY.bf16_on_cpu)


def first_run(wildcards):
    """The run of an experiment that is explained: its first fold and first seed."""
    return study_run(wildcards.experiment, runs.study_folds(STUDY, wildcards.experiment)[0], STUDY.seeds[0])


def runs_of(wildcards):
    """The runs of an experiment: every fold and seed of the study."""
    return [run for run in RUNS if run.name == wildcards.experiment]


def shown_runs(wildcards):
    """The options that name the runs of an experiment."""
    folds = runs.study_folds(STUDY, wildcards.experiment)
    return shlex.join(
        [word for fold in folds for word in ("--fold", fold)]
        + [word for seed in STUDY.seeds for word in ("--seed", str(seed))]
    )


def run_data(wildcards):
    """The files that a run's network gets its images from."""
    return list(run_of(wildcards).data.values())


def networks(wildcards):
    """The trained weights that a run reads and, except for a backbone, how their networks are to be built."""
    files = run_of(wildcards).networks
    return [*files.values(), *(path.with_name(PARAMETERS) for name, path in files.items() if name != "weights")]


def run_overrides(wildcards):
    return STUDY.overrides(wildcards.experiment)


def adapter(dataset):
    """The module that reads a dataset."""
    return params.load_dataset(dataset).adapter or dataset


def code_of_run(stage, wildcards):
    """The digests of the code that decides a run's artifacts: of its system, and of those it starts or learns from."""
    experiment = EXPERIMENTS[wildcards.experiment]
    others = [EXPERIMENTS[name] for name in experiment.predecessors.values()]
    return sorted({LAYOUT.code(stage, each.system) for each in (experiment, *others)})


def here():
    """Whether jobs run on this machine: what it has says nothing of a cluster's nodes. Known once jobs are made."""
    return workflow.local_exec and not workflow.remote_exec


def gpu(wildcards):
    """Claimed by what runs a network: a GPU, where there is one. On a cluster without, `--config gpu=0` says so."""
    return config["gpu"] if config["gpu"] is not None else int(not here() or machine.gpus() > 0)


def job_threads(wildcards):
    """A machine may have fewer cores than Snakemake is given, as by `--cores 8`. A job then claims several of those, so
    that no more jobs compute at once than the machine has cores for: eight on two cores took a fifth longer.
    """
    return STUDY.threads * (max(1, CORES // machine.cores()) if here() else 1)


def memory(stage):
    """A resource function: the megabytes that a job of the stage asks for, twice as many with each further attempt."""
    return lambda wildcards, attempt: NEEDS[stage]["mem_mb"] * 2 ** (attempt - 1)


def runtime(stage):
    """A resource function: the minutes that a job of the stage asks for, twice as many with each further attempt."""
    return lambda wildcards, attempt: NEEDS[stage]["runtime"] * 2 ** (attempt - 1)


def data_threads(wildcards):
    """Of a stage that works through a dataset in several processes: one computes while another starts or ends."""
    return max(1, CORES // 2) if here() else NODE_THREADS
