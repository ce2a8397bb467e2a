"""A run, experiment × fold × seed: as a study asks for it (`Run`), and as it was trained (`TrainedRun`)."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fer import params
from fer.errors import FerError
from fer.folds import folds
from fer.layout import PARAMETERS, WEIGHTS, Layout
from fer.params import Dataset, Experiment, Input, Recipe, RunParameters, System
from fer.params.system import flat
from fer.storage import file_sha256, read_json

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


class RunFiles:
    """The files from which a run's network gets what it sees, for a run in a study and for a trained one."""

    parameters: RunParameters
    layout: Layout

    @property
    def data(self) -> dict[str, Path]:
        """The files that training reads."""
        return self.data_of(self.parameters.dataset, self.parameters.protocol) | self.variants

    def data_of(self, dataset: str, protocol: str) -> dict[str, Path]:
        """Return the files of a dataset from which the run's network gets what it sees."""
        arrays = VIEWS[self.parameters.views]
        boxes = self.parameters.constant_image or "boxes" in arrays
        return {
            "index": self.layout.index(dataset),
            "split": self.layout.split(dataset, protocol),
            **{name: getattr(self.layout, name)(dataset) for name in arrays if name != "boxes"},
            **({"boxes": self.layout.blocks(dataset), "faces": self.layout.faces(dataset)} if boxes else {}),
            **({"raw": self.layout.raw(dataset)} if self.parameters.constant_image else {}),
        }

    @property
    def variants(self) -> dict[str, Path]:
        """The offline variants of the training images, for the recipes that ask for them."""
        if not self.parameters.recipe.offline:
            return {}
        name, fold = self.parameters.experiment, self.parameters.fold
        return {
            "augmented": self.layout.augmented(name, fold),
            "augmented_index": self.layout.augmented_index(name, fold),
        }

    @property
    def source(self) -> Source:
        """What the run's network sees of its own data."""
        flags = {name: getattr(self.parameters, name) for name in ("constant_image", "augment_before_split")}
        return self.source_of(self.data, self.parameters.fold, **flags)

    def source_of(self, data: dict[str, Path], fold: str, **flags: bool) -> Source:
        """Return what the run's network sees of `data`, {name: file} as `data_of` gives them, in one fold."""
        arrays, modalities = VIEWS[self.parameters.views], MODALITIES[self.parameters.modality]
        return Source(data, fold, modalities, arrays, self.parameters.input, **flags)


@dataclass(frozen=True)
class Run(RunFiles):
    """One training and its evaluation, as a study asks for it: resolved from today's files in params/.

    `overrides` are the study's changes (`fer.params.resolve`); `bf16_on_cpu` lets a recipe's bf16-mixed take effect on
    a CPU, too.
    """

    name: str
    fold: str
    seed: int
    overrides: dict[str, Any]
    threads: int
    layout: Layout
    bf16_on_cpu: bool = False

    def __post_init__(self):
        allowed = folds(self.experiment.protocol, self.dataset)
        if self.fold not in allowed:
            raise FerError(f"{self.name} has no fold {self.fold!r}. Folds of its protocol: {', '.join(allowed)}")

    @cached_property
    def experiment(self) -> Experiment:
        """The experiment as its file in params/ describes it."""
        return params.load_experiment(self.name)

    @cached_property
    def system(self) -> System:
        """The system as this run builds and trains it."""
        return params.resolve(self.experiment, params.experiment_file(self.name), self.overrides)

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset as its file in params/ describes it; `source` and `samples` are not those of the study."""
        return params.load_dataset(self.experiment.dataset)

    def train_command(self, root: Path) -> str:
        """Return the command that trains it in the study whose artifacts are in `root`."""
        words = self.command("train", root) + (" --bf16-on-cpu" if self.bf16_on_cpu else "")
        changes = flat(self.overrides)
        return words + "".join(f" --set {shlex.quote(f'{name}={value}')}" for name, value in changes)

    def command(self, stage: str, root: Path) -> str:
        """Return the command of one of its stages in the study whose artifacts are in `root`, without options."""
        words = f"fer {stage} {self.name} --fold {self.fold} --seed {self.seed} --threads {self.threads}"
        return words if root == Path() else f"{words} --root {shlex.quote(str(root))}"

    @property
    def recipe(self) -> Recipe:
        """The recipe with the experiment's and the study's changes."""
        return self.system.recipe

    @property
    def folder(self) -> Path:
        """Where training and evaluation leave their files."""
        return self.layout.run(self.name, self.fold, self.seed)

    @property
    def predecessors(self) -> dict[str, Run]:
        """The runs whose trained networks this one needs (same fold, same seed), by what it needs them for."""
        return {key: replace(self, name=name, overrides={}) for key, name in self.experiment.predecessors.items()}

    @property
    def networks(self) -> dict[str, Path]:
        """The trained weights that training reads, by what they are: of predecessors, a backbone, where it starts.

        Those of a backbone, `weights`, alone have no parameters beside them.
        """
        files = {key: other.folder / WEIGHTS for key, other in self.predecessors.items()}
        backbone, start = self.system.architecture.get("weights", "random"), self.recipe.start_from
        files |= {} if backbone in ("random", "imagenet") else {"weights": Path(backbone)}
        return files | ({"start_from": Path(start) / WEIGHTS} if start else {})

    def as_trained(self) -> TrainedRun:
        """Return the run as its folder records its training."""
        return TrainedRun(self.folder, self.layout, self.threads)

    @cached_property
    def parameters(self) -> RunParameters:
        """Every parameter that decides the outcome."""
        shared = ("dataset", "system", "modality", "views", "constant_image", "augment_before_split", "protocol")
        return RunParameters(
            experiment=self.name,
            **{name: getattr(self.experiment, name) for name in shared},
            **self.experiment.predecessors,
            fold=self.fold,
            seed=self.seed,
            threads=self.threads,
            bf16_on_cpu=self.bf16_on_cpu,
            classes=self.dataset.classes,
            alignment=self.dataset.alignment,
            blocks=None if self.experiment.views == "face" else self.dataset.blocks,
            architecture=params.full_architecture(self.experiment.system, self.system.architecture),
            input=self.system.input,
            recipe=self.recipe,
            overrides=self.overrides,
        )

    def resolved(self) -> dict[str, Any]:
        """Return every parameter that decides the outcome, ready for JSON."""
        values = self.parameters.dump()
        values.pop("data")  # of a trained run
        return values


@dataclass(frozen=True)
class TrainedRun(RunFiles):
    """A run as its folder records its training, whatever params/ says today."""

    folder: Path
    layout: Layout
    threads: int = 1

    @cached_property
    def parameters(self) -> RunParameters:
        """The parameters that training recorded in the folder."""
        return read_parameters(self.folder)

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.parameters.experiment

    @property
    def fold(self) -> str:
        """The fold whose train part the run was trained on."""
        return self.parameters.fold

    @property
    def data(self) -> dict[str, Path]:
        """The files that its evaluation reads: variants of the training images only where some of them are in test."""
        own = self.data_of(self.parameters.dataset, self.parameters.protocol)
        return own | self.variants if self.parameters.augment_before_split else own

    def require_same(self, files: dict[str, Path]) -> None:
        """Refuse files other than those that the run was trained on.

        Args:
            files: paths by their names in `parameters.data`, such as {"split": …}.

        Raises:
            FerError: the sha256 of a file differs from the recorded one, or none was recorded.
        """
        for name, path in files.items():
            recorded, found = self.parameters.data.get(name, "nothing"), file_sha256(path)
            if found != recorded:
                raise FerError(
                    f"{path} is not the file that {self.folder} was trained with: its sha256 is {found[:12]}, "
                    f"{PARAMETERS} records {recorded[:12]}. Train again, or restore the file"
                )


def require_run(folder: Path, what: str = "") -> None:
    """Refuse a folder without a trained run; `what` begins the message."""
    if lacking := [name for name in (PARAMETERS, WEIGHTS) if not (folder / name).exists()]:
        raise FerError(
            f"{what}{folder} is not the folder of a trained run: it has no {' and no '.join(lacking)}. "
            "Expected a folder such as runs/fer2013-dnn/0.0 or fer/pretrained/fer2013-fer_baseline"
        )


def start_of(run: Run) -> TrainedRun:
    """Return the trained run whose weights the training of `run` starts from (`start_from` of its recipe).

    Raises:
        FerError: the folder has no trained run, or that of another system.
    """
    folder, where = Path(run.recipe.start_from), f"{run.name}: start_from: "
    require_run(folder, where)
    other = TrainedRun(folder, run.layout)
    if other.parameters.system != run.experiment.system:
        raise FerError(
            f"{where}{folder} holds a network of {other.parameters.system}, this run trains one of "
            f"{run.experiment.system}. Give a run of the same system"
        )
    return other


def same_images(first: str, second: str) -> bool:
    """Return whether two datasets show the same images: FER+ is FER2013 with other labels."""
    return first == second or {first, second} == {"fer2013", "ferplus"}


def read_parameters(folder: Path) -> RunParameters:
    """Return the parameters with which the run of a folder was trained.

    Raises:
        FerError: the file is missing, damaged, or lacks a key.
    """
    path = folder / PARAMETERS
    values = read_json(path)
    if isinstance(values, dict) and "classes" not in values and "dataset" in values:
        # Recorded since class names are; the labels of an older run are those of its dataset
        values = values | {"classes": params.load_dataset(str(values["dataset"])).classes}
    return params.check(RunParameters, values, path)


def study_runs(study: params.Study) -> list[Run]:
    """Return every run of a study: experiments in their order, then folds, then seeds."""
    layout = Layout(Path(study.root))
    return [
        Run(name, fold, seed, study.overrides(name), study.threads, layout, study.bf16_on_cpu)
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
    first = study_folds(study, name)[0]
    return [run for run in study_runs(study) if (run.name, run.fold) == (name, first)]


def experiment_folds(experiment: Experiment) -> list[str]:
    """Return the names of all folds of an experiment's protocol; a study may run fewer."""
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
