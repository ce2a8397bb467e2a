"""Parameters: every YAML file below `params/`, typed once.

Loading never imports torch, so the Snakefile checks a whole study in milliseconds. Every mistake is a `FerError` that
names the file, the key, what was given and what is allowed.
"""

from fer.params.base import (
    GRAMMAR,
    LARGEST_SEED,
    NAME,
    Fraction,
    Modality,
    Name,
    Positive,
    Protocol,
    Seed,
    Side,
    Strict,
    Threads,
    Views,
    valid_name,
)
from fer.params.dataset import Alignment, Audit, Blocks, Dataset, Download
from fer.params.explain import Explain
from fer.params.loading import (
    ADAPTERS,
    EXPLAIN,
    FOLDER,
    STUDY,
    SYSTEMS,
    dataset_file,
    experiment_file,
    experiment_files,
    full_architecture,
    load_dataset,
    load_experiment,
    load_explain,
    load_study,
    load_system,
    place_of,
    read_anew,
    read_once,
    resolve,
    system_file,
)
from fer.params.reading import check, constructor
from fer.params.run import RunParameters
from fer.params.study import Config, Experiment, ExperimentOverrides, Published, Study
from fer.params.system import Augmentation, Input, OfflineAugmentation, Recipe, System

SCHEMAS: dict[str, type[Strict]] = {
    "config": Config,
    "study": Study,
    "dataset": Dataset,
    "system": System,
    "experiment": Experiment,
    "explain": Explain,
}
