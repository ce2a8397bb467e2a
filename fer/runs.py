"""A run, experiment × fold × seed, with its parameters resolved: system's recipe ← experiment ← study."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fer import params, protocols
from fer.errors import FerError
from fer.layout import Layout
from fer.params import Dataset, Experiment, Recipe, System


@dataclass(frozen=True)
class Run:
    """One training and its evaluation. `overrides` are the study's changes to the recipe."""

    name: str
    fold: str
    seed: int
    overrides: dict[str, Any]
    threads: int
    layout: Layout

    def __post_init__(self):
        allowed = protocols.folds(self.experiment.protocol, self.dataset)
        if self.fold not in allowed:
            raise FerError(f"{self.name} has no fold {self.fold!r}. Folds of its protocol: {', '.join(allowed)}")

    @cached_property
    def experiment(self) -> Experiment:
        return params.load_experiment(self.name)

    @cached_property
    def system(self) -> System:
        return params.load_system(self.experiment.system)

    @cached_property
    def dataset(self) -> Dataset:
        return params.load_dataset(self.experiment.dataset)

    @cached_property
    def recipe(self) -> Recipe:
        path = params.experiment_file(self.name)
        recipe = params.resolve_recipe(self.system.recipe, self.experiment.recipe, path, "recipe")
        return params.resolve_recipe(recipe, self.overrides, Path("--set"), "")

    @property
    def folder(self) -> Path:
        return self.layout.run(self.name, self.fold, self.seed)

    @property
    def data(self) -> dict[str, Path]:
        """The files that training and evaluation read."""
        name = self.experiment.dataset
        files = {
            "crops": self.layout.crops(name),
            "index": self.layout.index(name),
            "split": self.layout.split(name, self.experiment.protocol),
        }
        if self.recipe.offline:
            files["augmented"] = self.layout.augmented(self.name, self.fold)
            files["augmented_index"] = self.layout.augmented_index(self.name, self.fold)
        return files

    def resolved(self) -> dict[str, Any]:
        """Return every parameter that decides the outcome, ready for JSON."""
        return {
            "experiment": self.name,
            "dataset": self.experiment.dataset,
            "system": self.experiment.system,
            "modality": self.experiment.modality,
            "protocol": self.experiment.protocol,
            "fold": self.fold,
            "seed": self.seed,
            "threads": self.threads,
            "architecture": self.system.architecture,
            "input": self.system.input.model_dump(),
            "recipe": self.recipe.model_dump(),
        }


def study_runs(study: params.Study) -> list[Run]:
    """Return every run of a study: experiments in their order, then folds, then seeds."""
    layout = Layout(Path(study.root))
    return [
        Run(name, fold, seed, study.recipe_overrides(name), study.threads, layout)
        for name in study.experiments
        for fold in experiment_folds(params.load_experiment(name))
        for seed in study.seeds
    ]


def experiment_folds(experiment: Experiment) -> list[str]:
    return protocols.folds(experiment.protocol, params.load_dataset(experiment.dataset))


def study_protocols(study: params.Study) -> dict[str, list[str]]:
    """Return the protocols by which the study splits each of its datasets."""
    wanted: dict[str, dict[str, None]] = {}
    for name in study.experiments:
        experiment = params.load_experiment(name)
        wanted.setdefault(experiment.dataset, {})[experiment.protocol] = None
    for name, overrides in study.datasets.items():
        wanted.setdefault(name, {}).update(dict.fromkeys(overrides.protocols if overrides else []))
    return {name: list(protocols) for name, protocols in wanted.items()}
