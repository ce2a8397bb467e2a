"""A run, experiment × fold × seed, with its parameters resolved: system ← experiment ← study."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fer import layout as files
from fer import params
from fer.errors import FerError
from fer.folds import folds
from fer.layout import Layout
from fer.params import Dataset, Experiment, Input, Recipe, System
from fer.storage import read_json

VIEWS = {"face": ["crops"], "eyes": ["eyes"], "mouth": ["mouth"], "both": ["eyes", "mouth"], "boxes": ["boxes"]}
MODALITIES = {"visible": ["visible"], "infrared": ["infrared"], "fused": ["visible", "infrared"]}


@dataclass(frozen=True)
class Source:
    """What a network sees of one fold of a dataset. `arrays` are the names of the files that hold its views."""

    files: dict[str, Path]
    fold: str
    modalities: list[str]
    arrays: list[str]
    input: Input
    constant_image: bool = False
    augment_before_split: bool = False


@dataclass(frozen=True)
class Run:
    """One training and its evaluation. `overrides` are the study's changes (`fer.params.resolve`)."""

    name: str
    fold: str
    seed: int
    overrides: dict[str, Any]
    threads: int
    layout: Layout

    def __post_init__(self):
        allowed = folds(self.experiment.protocol, self.dataset)
        if self.fold not in allowed:
            raise FerError(f"{self.name} has no fold {self.fold!r}. Folds of its protocol: {', '.join(allowed)}")

    @cached_property
    def experiment(self) -> Experiment:
        return params.load_experiment(self.name)

    @cached_property
    def system(self) -> System:
        """The system as this run builds and trains it."""
        return params.resolve(self.experiment, params.experiment_file(self.name), self.overrides)

    @cached_property
    def dataset(self) -> Dataset:
        return params.load_dataset(self.experiment.dataset)

    @property
    def recipe(self) -> Recipe:
        return self.system.recipe

    @property
    def folder(self) -> Path:
        return self.layout.run(self.name, self.fold, self.seed)

    @property
    def data(self) -> dict[str, Path]:
        """The files that training and evaluation read."""
        return self.data_of(self.experiment.dataset, self.experiment.protocol) | self.variants

    def data_of(self, dataset: str, protocol: str) -> dict[str, Path]:
        """Return the files of a dataset from which the run's network gets what it sees."""
        arrays = VIEWS[self.experiment.views]
        boxes = self.experiment.constant_image or "boxes" in arrays
        return {
            "index": self.layout.index(dataset),
            "split": self.layout.split(dataset, protocol),
            **{name: getattr(self.layout, name)(dataset) for name in arrays if name != "boxes"},
            **({"boxes": self.layout.blocks(dataset), "faces": self.layout.faces(dataset)} if boxes else {}),
            **({"raw": self.layout.raw(dataset)} if self.experiment.constant_image else {}),
        }

    @property
    def variants(self) -> dict[str, Path]:
        """The offline variants of the training images, for the recipes that ask for them."""
        if not self.recipe.offline:
            return {}
        return {
            "augmented": self.layout.augmented(self.name, self.fold),
            "augmented_index": self.layout.augmented_index(self.name, self.fold),
        }

    @property
    def source(self) -> Source:
        flags = {name: getattr(self.experiment, name) for name in ("constant_image", "augment_before_split")}
        return self.source_of(self.data, self.fold, **flags)

    def source_of(self, data: dict[str, Path], fold: str, **flags: bool) -> Source:
        arrays, modalities = VIEWS[self.experiment.views], MODALITIES[self.experiment.modality]
        return Source(data, fold, modalities, arrays, self.system.input, **flags)

    @property
    def predecessors(self) -> dict[str, Run]:
        """The runs whose trained networks this one needs (same fold, same seed), by what it needs them for."""
        return {key: replace(self, name=name, overrides={}) for key, name in self.experiment.predecessors.items()}

    def as_trained(self) -> Run:
        """Return the run with the overrides that it was trained with, as its folder says."""
        return replace(self, overrides=read_json(self.folder / files.PARAMETERS)["overrides"])

    def resolved(self) -> dict[str, Any]:
        """Return every parameter that decides the outcome, ready for JSON."""
        told = ("dataset", "system", "modality", "views", "constant_image", "augment_before_split", "protocol")
        return {
            "experiment": self.name,
            **{name: getattr(self.experiment, name) for name in told},
            **{key: name for key, name in self.experiment.predecessors.items()},
            "fold": self.fold,
            "seed": self.seed,
            "threads": self.threads,
            "architecture": self.system.architecture,
            "input": self.system.input.model_dump(),
            "recipe": self.recipe.model_dump(mode="json"),
            "overrides": self.overrides,
        }


def study_runs(study: params.Study) -> list[Run]:
    """Return every run of a study: experiments in their order, then folds, then seeds."""
    layout = Layout(Path(study.root))
    return [
        Run(name, fold, seed, study.overrides(name), study.threads, layout)
        for name in study.experiments
        for fold in study_folds(study, name)
        for seed in study.seeds
    ]


def study_folds(study: params.Study, name: str) -> list[str]:
    """Return the folds of an experiment that the study makes."""
    return experiment_folds(params.load_experiment(name))[: study.most_folds(name)]


def transfers(study: params.Study) -> dict[str, list[tuple[str, str]]]:
    """Return, for each experiment under `cross_dataset`, dataset and protocol of all the others."""
    tested = {name: params.load_experiment(name) for name in study.cross_dataset}
    return {name: [(other.dataset, other.protocol) for key, other in tested.items() if key != name] for name in tested}


def transfer_runs(study: params.Study, name: str) -> list[Run]:
    """Return the runs of an experiment that are tested on other datasets: its first fold, every seed."""
    runs = [run for run in study_runs(study) if run.name == name]
    return [run for run in runs if run.fold == runs[0].fold]


def experiment_folds(experiment: Experiment) -> list[str]:
    return folds(experiment.protocol, params.load_dataset(experiment.dataset))


def study_protocols(study: params.Study) -> dict[str, list[str]]:
    """Return the protocols by which the study splits each of its datasets."""
    wanted: dict[str, dict[str, None]] = {}
    for name in study.experiments:
        experiment = params.load_experiment(name)
        wanted.setdefault(experiment.dataset, {})[experiment.protocol] = None
    for name, overrides in study.datasets.items():
        wanted.setdefault(name, {}).update(dict.fromkeys(overrides.protocols if overrides else []))
    return {name: list(protocols) for name, protocols in wanted.items()}
