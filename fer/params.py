"""Parameters: every YAML file below `params/`, typed once.

Loading never imports torch, so the Snakefile checks a whole study in milliseconds. Every mistake is a `FerError` that
names the file, the key, what was given and what is allowed.
"""

from __future__ import annotations

import ast
import difflib
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from fer.errors import FerError
from fer.expressions import shared_expressions

FOLDER = Path("params")
STUDY = FOLDER / "study.yaml"  # the default
EXPLAIN = FOLDER / "explain.yaml"
SYSTEMS = Path(__file__).parent / "systems"
ADAPTERS = Path(__file__).parent / "datasets"

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Protocol = Literal[
    "official",
    "stratified_56_11_33",
    "stratified_61_25_14",
    "stratified_70_10_20",
    "stratified_70_15_15",
    "stratified_80_10_10",
    "random_70_10_20",
    "kfold_subject",
    "leave_one_subject_out",
    "by_character",
]
Modality = Literal["visible", "infrared", "fused"]
Views = Literal["face", "eyes", "mouth", "both", "boxes"]


class Strict(BaseModel):
    """Unknown keys are errors and values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `epochs: true`, which pydantic would read as 1."""
        items = value if isinstance(value, list) else [value]
        allowed = "bool" in str(cls.model_fields[info.field_name].annotation)
        if not allowed and any(isinstance(item, bool) for item in items):
            raise ValueError("true and false are no values of this key")
        return value


# --- datasets -------------------------------------------------------------------------------------------------------


class Alignment(Strict):
    """How a distributed image becomes a face crop."""

    crop: Literal["distributed", "similarity"] = Field(
        description="distributed: the image as its owners cropped it; similarity: eyes level, at canonical places"
    )
    size: Positive = Field(description="side of the square crop in pixels")
    channels: Literal[1, 3] = Field(description="1 = grey, 3 = RGB")
    detector: Literal["hog", "cnn"] = Field("hog", description="dlib's detector: HOG (fast) or CNN (for a GPU)")
    enlarge: list[Annotated[float, Field(gt=0)]] = Field(
        min_length=1,
        description="factors by which the detector's copy is enlarged (below 1: shrunk), tried until a face is found",
    )
    padding: Fraction = Field(
        description="border of mean brightness around the detector's copy, as a fraction of its side"
    )
    infrared: Literal["partner", "own"] = Field(
        "partner",
        description="whose landmarks an infrared image takes: those of its visible partner, or its own",
    )
    missing: Literal["full_frame", "drop", "error"] = Field(description="what becomes of an image without a detection")


class Blocks(Strict):
    """The eyes and the mouth block of a face (system prior_attention)."""

    size: Positive = Field(32, description="side of the square blocks in pixels")
    margin: Annotated[float, Field(ge=0)] = Field(
        0.3, description="border around the landmarks of a block, as a fraction of the distance between the eyes"
    )


class Audit(Strict):
    """What counts as a leak between the parts of a fold, and what becomes of it."""

    distance: Annotated[int, Field(ge=0, le=64)] = Field(
        10, description="near duplicates: differing bits, at most, of two 64-bit perceptual hashes"
    )
    correlation: Fraction = Field(0.95, description="and the least correlation of their pixels that confirms it")
    on_leak: Literal["report", "drop_from_train", "error"] = "report"


class Download(Strict):
    """One file that anyone may fetch."""

    url: str = Field(pattern=r"^https?://", description="where it is")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(None, description="of the whole file")


class Dataset(Strict):
    title: str
    citation: str
    obtain: str = Field(description="where a user gets the files, for error messages")
    adapter: str | None = Field(None, description="module in fer/datasets/ that reads it; default: the dataset's name")
    options: dict[str, Any] = Field(default_factory=dict, description="arguments of the adapter's constructor")
    classes: list[str] = Field(min_length=2, description="class names in the order of their codes")
    subjects: list[str] | None = Field(None, description="every subject, where folds are made of them one by one")
    official_counts: dict[str, list[int]] = Field(
        default_factory=dict, description="official images per part (train, val, test, or all), in class order"
    )
    source: str = Field(
        description="synthetic; the path of an archive, file or folder; a URL; kaggle:…; or download (see downloads)"
    )
    downloads: list[Download] = Field(default_factory=list, description="what `source: download` fetches")
    samples: Positive = Field(description="about how many images the synthetic source draws")
    alignment: Alignment
    blocks: Blocks = Blocks()
    audit: Audit = Audit()

    @model_validator(mode="after")
    def counts_cover_classes(self) -> Dataset:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes {self.classes} repeat")
        for part, counts in self.official_counts.items():
            if part not in ("train", "val", "test", "all"):
                raise ValueError(f"official_counts.{part} is no part; expected train, val, test or all")
            if min(counts, default=0) < 0:
                raise ValueError(f"official_counts.{part} has a negative number")
            if len(counts) != len(self.classes):
                raise ValueError(f"official_counts.{part} has {len(counts)} numbers for {len(self.classes)} classes")
        return self


# --- systems --------------------------------------------------------------------------------------------------------


class Input(Strict):
    """What the network sees: crops resized to `size`, scaled to [0, 1], then (x - mean) / std."""

    size: Positive
    channels: Literal[1, 3]
    mean: float | list[float] = Field(description="one number, or one for each channel")
    std: Annotated[float, Field(gt=0)] | list[Annotated[float, Field(gt=0)]]

    @model_validator(mode="after")
    def one_for_each_channel(self) -> Input:
        for name in ("mean", "std"):
            value = getattr(self, name)
            if isinstance(value, list) and len(value) != self.channels:
                raise ValueError(f"{name} has {len(value)} numbers for {self.channels} channel(s)")
        return self


class Augmentation(Strict):
    """Random transforms of each training image, drawn anew for every image and epoch."""

    horizontal_flip: Fraction = 0.0
    rotation: Annotated[float, Field(ge=0, le=180)] = Field(0.0, description="degrees, uniform in ±rotation")
    translation: Fraction = Field(0.0, description="fraction of the side, uniform in ±translation")
    scale: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="zoom factor uniform in 1 ± scale")
    brightness: Fraction = Field(0.0, description="factor uniform in 1 ± brightness")
    contrast: Fraction = Field(0.0, description="factor uniform in 1 ± contrast")
    saturation: Fraction = Field(0.0, description="factor uniform in 1 ± saturation; RGB alone")
    erasing: Fraction = Field(0.0, description="chance that a rectangle of 2 to 20 % of the image becomes mid-grey")


class OfflineAugmentation(Strict):
    """Variants of each training image made once, before training: `draws` of each of five transforms.

    The magnitudes of Naseem et al. 2025 (PeerJ CS 11:e2676) and its code: 26 times the training images.
    """

    draws: Positive = 5
    rotation: Annotated[float, Field(ge=0, le=180)] = Field(20, description="degrees, uniform in ±rotation; black fill")
    zoom_out: Annotated[float, Field(ge=1)] = Field(1.5, description="side of the canvas, uniform in 1 to zoom_out")
    fill: Annotated[int, Field(ge=0, le=255)] = Field(123, description="grey of the canvas that zoom_out adds")
    perspective: Fraction = Field(0.5, description="torchvision's distortion scale")
    shear: Annotated[float, Field(ge=0)] = Field(0.2, description="degrees, with another rotation, uniform in ±shear")


class Recipe(Strict):
    """How a system is trained. Its length is given in `epochs` or in `steps`, never both."""

    epochs: Positive | None = None
    steps: Positive | None = None
    batch_size: Positive
    optimizer: Literal["adam", "adamw", "sgd"] = Field(description="sgd has momentum 0.9")
    learning_rate: Annotated[float, Field(gt=0)]
    betas: tuple[Fraction, Fraction] = Field((0.9, 0.999), description="of adam and adamw")
    epsilon: Annotated[float, Field(gt=0)] = Field(1e-8, description="of adam and adamw")
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    decay_norms: bool = Field(True, description="false: no weight decay on biases and on the weights of batch norm")
    schedule: Literal["constant", "cosine", "cosine_cycles", "one_cycle", "plateau"] = Field(
        description="cosine: once to 0; cosine_cycles: to 0 and back, stepped once an epoch; plateau: halved after 5 "
        "epochs without a lower validation loss"
    )
    period: Positive | None = Field(None, description="epochs from the peak to 0 of cosine_cycles")
    label_smoothing: Fraction = 0.0
    mixup: Annotated[float, Field(ge=0)] = Field(0.0, description="α of Beta(α, α); with cutmix one of the two a batch")
    cutmix: Annotated[float, Field(ge=0)] = Field(0.0, description="α of Beta(α, α)")
    balanced_sampling: bool = Field(False, description="draw each class as often as the others, with replacement")
    average_weights: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="decay of the moving average of the weights that validates and is kept; 0: none"
    )
    keep: Literal["best", "last"] = Field("best", description="the epoch of best validation accuracy, or the last")
    test_time_flip: bool = Field(False, description="average the probabilities of an image and its mirror image")
    choose_epoch_on: Literal["val", "test"] = Field("val", description="test is a defect: the figure is then no test")
    dropout_at_evaluation: bool = Field(False, description="a defect: dropout stays on when images are classified")
    dense_penalty: Annotated[float, Field(ge=0)] = Field(
        0.0, description="λ of λ·‖w‖² over the weights of the last two fully connected layers, added to the loss"
    )
    gradient_clip: Annotated[float, Field(gt=0)] | None = Field(
        None, description="largest norm of the gradient; longer ones are shortened to it"
    )
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    augmentation: Augmentation = Augmentation()
    offline: OfflineAugmentation | None = Field(None, description="variants made before training (stage augment)")

    @model_validator(mode="after")
    def one_length(self) -> Recipe:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        if (self.period is None) == (self.schedule == "cosine_cycles"):
            raise ValueError("period and schedule cosine_cycles go together")
        if self.precision == "16-mixed" and self.gradient_clip:
            raise ValueError(
                "gradient_clip does not go with precision 16-mixed, whose gradients are scaled; bf16-mixed does"
            )
        return self

    def override(self, values: dict[str, Any]) -> Recipe:
        """Return a copy with `values` in place; overriding one of epochs and steps drops the other."""
        merged = self.model_dump()
        if values.keys() & {"epochs", "steps"}:
            merged.update(epochs=None, steps=None)
        return Recipe.model_validate(deep_merge(merged, values))


def deep_merge(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `values` with `changes` in place; what stands in a mapping beside a changed key stays."""
    merged = dict(values)
    for key, change in changes.items():
        old = values.get(key)
        merged[key] = deep_merge(old, change) if isinstance(old, dict) and isinstance(change, dict) else change
    return merged


class System(Strict):
    title: str
    citation: str
    architecture: dict[str, Any] = Field(default_factory=dict, description="arguments of the network's constructor")
    input: Input
    recipe: Recipe
    deviations: list[str] = Field(description="where this reproduction departs from the publication, and why")
    limits: list[str] = Field(
        default_factory=list, description="for the model card: what it cannot do, or was not shown"
    )


# --- explanations ---------------------------------------------------------------------------------------------------


class Explain(Strict):
    """How a trained network's answers are explained, and what that may cost."""

    windows: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        min_length=1, description="sides of the occluding windows, as fractions of the image's; maps are averaged"
    )
    stride: Annotated[float, Field(gt=0, le=1)] = Field(description="step of a window, as a fraction of its side")
    removed: float = Field(description="value of a hidden or deleted pixel as the network sees it, after normalisation")
    samples: Positive = Field(description="test samples of each expression, the first in their order")
    budget: Annotated[float, Field(gt=0)] = Field(
        description="TFLOPs of an experiment's forward passes: beyond it fewer samples are taken, at least one"
    )
    steps: Positive = Field(description="steps of the deletion and insertion curves")
    blur: Annotated[float, Field(gt=0, le=0.2)] = Field(
        description="σ of the blurred image that insertion starts from, as a fraction of the side"
    )
    columns: Positive = Field(description="single samples of each expression that the figure shows")


# --- experiments and studies ----------------------------------------------------------------------------------------


class Published(Strict):
    accuracy: Fraction | None = Field(description="top-1 accuracy on the test images; null where none was published")
    source: str
    note: str = ""


class Experiment(Strict):
    """A system on a dataset. As a variant (`variant_of`) it says only what differs from another experiment."""

    variant_of: str | None = Field(
        None, description="the experiment that this one is set beside, and whose keys it takes"
    )
    kind: Literal["sound", "as_published", "defect", "ablation"] = Field(
        "sound",
        description="sound: subjects apart, epoch chosen on validation, test opened once; as_published: their split "
        "and their choice of the epoch; defect: with one fault of the original; ablation: without a part",
    )
    change: str = Field("", description="of a variant: in a few words, what differs")
    dataset: str
    system: str
    modality: Modality = Field("visible", description="fused: both images of a pair")
    views: Views = Field("face", description="both: the eyes and the mouth block; boxes: their eight numbers alone")
    constant_image: bool = Field(
        False, description="a defect: every block is cut from one image, so that it shows the place of its box alone"
    )
    augment_before_split: bool = Field(
        False, description="a defect: images and their offline variants are dealt to the parts together, at random"
    )
    protocol: Protocol
    published: Published
    architecture: dict[str, Any] = Field(default_factory=dict, description="what differs from the system's")
    input: dict[str, Any] = Field(default_factory=dict, description="what differs from the system's input")
    recipe: dict[str, Any] = Field(default_factory=dict, description="what differs from the system's recipe")
    infrared_from: str | None = Field(
        None, description="of a fused system: the experiment whose trained network its infrared branch starts from"
    )
    teacher: str | None = Field(
        None, description="label-distribution training: the experiment whose network says the target distributions"
    )
    deviations: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def variants_say_what_differs(self) -> Experiment:
        if (self.variant_of is None) != (self.kind == "sound") or bool(self.variant_of) != bool(self.change):
            raise ValueError("variant_of, change and a kind other than sound go together")
        if self.constant_image and self.views not in ("eyes", "mouth", "both"):
            raise ValueError("constant_image needs views eyes, mouth or both")
        if self.infrared_from and self.modality != "fused":
            raise ValueError("infrared_from needs modality fused")
        return self

    @property
    def predecessors(self) -> dict[str, str]:
        """The experiments whose trained networks this one needs, by what it needs them for."""
        return {name: value for name in ("infrared_from", "teacher") if (value := getattr(self, name)) is not None}


class DatasetOverrides(Strict):
    """What a study may change of a dataset."""

    source: str | None = None
    samples: Positive | None = None
    protocols: list[Protocol] = Field(
        default_factory=list, description="splits to make besides those that the study's experiments ask for"
    )


class ExplainOverrides(Strict):
    """What a study may change of its explanations: their cost."""

    samples: Positive | None = None


class ExperimentOverrides(Strict):
    """What a study may change of an experiment: its cost, and the weights it starts from."""

    epochs: Positive | None = None
    steps: Positive | None = None
    batch_size: Positive | None = None
    learning_rate: Annotated[float, Field(gt=0)] | None = Field(None, description="for a training cut short")
    size: Positive | None = Field(None, description="side of the input in pixels")
    draws: Positive | None = Field(None, description="of each offline transform")
    weights: str | None = Field(None, description="of a torchvision backbone: random, imagenet, or a file")
    folds: Positive | None = Field(None, description="only so many of the protocol's folds, the first ones")


class Study(Strict):
    """The experiments, folds and seeds that `all` makes."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    root: str = Field(".", pattern=r"^(\.|[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*)$", description="folder of its artifacts")
    datasets: dict[str, DatasetOverrides | None] = Field(default_factory=dict)
    experiments: dict[str, ExperimentOverrides | None] = Field(min_length=1)
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    explain: ExplainOverrides = ExplainOverrides()
    split_seed: Annotated[int, Field(ge=0)] = Field(0, description="seed of the protocols that draw")
    threads: Positive = Field(1, description="CPU threads of one training job; part of what makes a run repeatable")
    cross_dataset: list[str] = Field(
        default_factory=list,
        description="experiments on different datasets whose networks are tested on one another's datasets, too",
    )

    @model_validator(mode="after")
    def distinct_seeds(self) -> Study:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {self.seeds} repeat")
        return self

    def dataset_overrides(self, name: str) -> dict[str, Any]:
        overrides = self.datasets.get(name)
        return overrides.model_dump(exclude_none=True, exclude={"protocols"}) if overrides else {}

    def explain_overrides(self) -> dict[str, Any]:
        return self.explain.model_dump(exclude_none=True)

    def overrides(self, experiment: str) -> dict[str, Any]:
        """Return the study's changes to the runs of an experiment, by key."""
        overrides = self.experiments[experiment]
        return overrides.model_dump(exclude_none=True, exclude={"folds"}) if overrides else {}

    def most_folds(self, experiment: str) -> int | None:
        overrides = self.experiments[experiment]
        return overrides.folds if overrides else None


class Config(Strict):
    """Snakemake's own configuration (`--config`)."""

    study: str = Field("params/study.yaml", description="the study file")


SCHEMAS: dict[str, type[Strict]] = {
    "config": Config,
    "study": Study,
    "dataset": Dataset,
    "system": System,
    "experiment": Experiment,
    "explain": Explain,
}


# --- loading --------------------------------------------------------------------------------------------------------

Model = TypeVar("Model", bound=Strict)


def dataset_file(name: str) -> Path:
    return FOLDER / "datasets" / f"{name}.yaml"


def system_file(name: str) -> Path:
    return FOLDER / "systems" / f"{name}.yaml"


def experiment_file(name: str) -> Path:
    return FOLDER / "experiments" / f"{name}.yaml"


def load_dataset(name: str) -> Dataset:
    path = known(dataset_file(name), "dataset")
    dataset = load(Dataset, path)
    check(constructor(ADAPTERS, dataset.adapter or name, path), dataset.options, path, "options")
    return dataset


def load_system(name: str) -> System:
    path = known(system_file(name), "system")
    system = load(System, path)
    check(constructor(SYSTEMS, name, path), system.architecture, path, "architecture")
    return system


def experiment_files(name: str) -> list[Path]:
    """Return the files that define an experiment: its own and, of a variant, that of the experiment it varies."""
    own = experiment_file(name)
    base = mapping(own).get("variant_of")
    return [own] if base is None else [experiment_file(base), own]


def load_experiment(name: str) -> Experiment:
    path = known(experiment_file(name), "experiment")
    experiment = check(Experiment, with_base(path), path)
    for key, names in (("dataset", dataset_file), ("system", system_file)):
        known(names(getattr(experiment, key)), key, f"{path}: {key}: ")
    load_dataset(experiment.dataset)
    resolve(experiment, path)
    for key, other in experiment.predecessors.items():
        known(experiment_file(other), "experiment", f"{path}: {key}: ")
        require_predecessor(experiment, key, other, path)
    return experiment


def with_base(path: Path) -> dict[str, Any]:
    """Return what an experiment's file says; of a variant, on top of what the experiment it varies says."""
    values = mapping(path)
    if (base := values.get("variant_of")) is None:
        return values
    varied = mapping(known(experiment_file(str(base)), "experiment", f"{path}: variant_of: "))
    if "variant_of" in varied:
        raise FerError(f"{path}: variant_of: {base} is itself a variant, of {varied['variant_of']}; name that one")
    return deep_merge(varied, values)


def require_predecessor(experiment: Experiment, key: str, name: str, path: Path) -> None:
    """Refuse a predecessor that saw other samples: those it was trained on might be tested here."""
    other = check(Experiment, with_base(experiment_file(name)), experiment_file(name))
    wanted = {"dataset": experiment.dataset, "protocol": experiment.protocol}
    wanted["modality"] = "infrared" if key == "infrared_from" else experiment.modality
    for what, value in wanted.items():
        if getattr(other, what) != value:
            raise FerError(f"{path}: {key}: {name} has {what} {getattr(other, what)!r}; it must have {value!r}")


def load_explain(samples: int | None = None) -> Explain:
    """Load how to explain; `samples` overrides the number of samples of each expression."""
    parameters = load(Explain, EXPLAIN)
    return parameters if samples is None else parameters.model_copy(update={"samples": samples})


def load_study(path: Path) -> Study:
    """Load a study and everything it names, so that a mistake anywhere stops before any job runs."""
    study = load(Study, path)
    if study.root == "." and path.resolve() != STUDY.resolve():
        raise FerError(
            f"{path}: root: is missing. The project's own folder holds the artifacts of {STUDY}; another study needs a "
            f"folder of its own, such as studies/{study.name}"
        )
    used = set()
    for name in study.experiments:
        known(experiment_file(name), "experiment", f"{path}: experiments: ")
        experiment = load_experiment(name)
        used.add(experiment.dataset)
        resolve(experiment, experiment_file(name), study.overrides(name), path, f"experiments.{name}")
        for key, other in experiment.predecessors.items():
            if other not in study.experiments:
                raise FerError(f"{path}: experiments: {name} needs {other} ({key}), which the study must hold too")
    for name, overrides in study.datasets.items():
        known(dataset_file(name), "dataset", f"{path}: datasets: ")
        load_dataset(name)
        if name not in used and not (overrides and overrides.protocols):
            raise FerError(
                f"{path}: datasets: no experiment of this study uses {name!r}, and no protocols are asked of it. "
                f"Used: {listing(used)}"
            )
    check_cross_dataset(study, path)
    return study


def check_cross_dataset(study: Study, path: Path) -> None:
    """Refuse experiments under `cross_dataset` that cannot be tested on one another's datasets."""
    where, names = f"{path}: cross_dataset:", study.cross_dataset
    for name in names:
        if name not in study.experiments:
            raise FerError(
                f"{where} {name!r} is no experiment of this study{suggestion(name, list(study.experiments))}. "
                f"Its experiments: {listing(study.experiments)}"
            )
    if len(names) == 1:
        raise FerError(f"{where} given {names[0]} alone; expected two experiments or more, or none")
    for first, second in combinations(names, 2):
        one, other = load_experiment(first), load_experiment(second)
        if one.dataset == other.dataset:
            raise FerError(f"{where} {first} and {second} are both on {one.dataset}; name one experiment a dataset")
        if one.modality != other.modality:
            raise FerError(
                f"{where} {first} is trained on {one.modality} images and {second} on {other.modality} ones; "
                f"name experiments of one modality"
            )
        try:
            shared_expressions(load_dataset(one.dataset).classes, load_dataset(other.dataset).classes)
        except FerError as error:
            raise FerError(
                f"{where} {first} and {second} cannot be tested on one another's datasets: {error}"
            ) from None


# --- what a run is made of: system ← experiment ← study -------------------------------------------------------------

TOLD = ("modality", "views")  # options of a system that the experiment says
SIDES = {"size": ("input", "size"), "weights": ("architecture", "weights"), "draws": ("recipe", "offline", "draws")}


def resolve(
    experiment: Experiment,
    path: Path,
    overrides: dict[str, Any] | None = None,
    where: Path = Path("--set"),
    key: str = "",
) -> System:
    """Return the system as a run of this experiment builds and trains it.

    Args:
        path: the experiment's file, for error messages.
        overrides: what a study (file `where`, at `key`) or the command line changes: keys of the recipe, and those of
            `SIDES`.
    """
    system = load_system(experiment.system)
    given = {"architecture": experiment.architecture, "input": experiment.input, "recipe": experiment.recipe}
    system = changed(system, experiment, given, path, "")
    return changed(system, experiment, placed(overrides), where, key) if overrides else system


def placed(overrides: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return overrides by section of the system: `{"size": 64, "epochs": 2}` → input.size and recipe.epochs."""
    sections: dict[str, Any] = {"architecture": {}, "input": {}, "recipe": {}}
    for name, value in overrides.items():
        for part in reversed(SIDES.get(name, ("recipe", name))):
            value = {part: value}
        sections = deep_merge(sections, value)
    return sections


def changed(system: System, experiment: Experiment, changes: dict[str, dict], path: Path, key: str) -> System:
    """Return `system` with the changes of its sections, told of the experiment's modality and views."""
    prefix = f"{key}." if key else ""
    options = constructor(SYSTEMS, experiment.system, path)
    architecture = system.architecture | changes["architecture"]
    for name in TOLD:
        if name in options.model_fields:
            architecture[name] = getattr(experiment, name)
    for name, value in (("modality", "fused"), ("views", "both"), ("views", "boxes")):
        if getattr(experiment, name) == value and name not in options.model_fields:
            raise FerError(f"{path}: {name}: given {value!r}, but the system {experiment.system} has no such option")
    check(options, architecture, path, f"{prefix}architecture")
    return system.model_copy(
        update={
            "architecture": architecture,
            "input": check(Input, deep_merge(system.input.model_dump(), changes["input"]), path, f"{prefix}input"),
            "recipe": resolve_recipe(system.recipe, changes["recipe"], path, f"{prefix}recipe"),
        }
    )


def resolve_recipe(recipe: Recipe, values: dict[str, Any], path: Path, key: str) -> Recipe:
    try:
        return recipe.override(values)
    except ValidationError as error:
        raise FerError(explain(error, Recipe, path, key)) from error


def known(path: Path, kind: str, where: str = "") -> Path:
    """Return the parameter file `path` if it exists; otherwise name those of its kind that do."""
    if path.exists():
        return path
    names = sorted(file.stem for file in path.parent.glob("*.yaml"))
    raise FerError(
        f"{where}unknown {kind} {path.stem!r}{suggestion(path.stem, names)}. "
        f"Known: {listing(names)} (files in {path.parent}/)"
    )


def load(model: type[Model], path: Path) -> Model:
    return check(model, mapping(path), path)


def mapping(path: Path) -> dict[str, Any]:
    """Return what a parameter file says, unchecked."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FerError(f"{path} cannot be read: {error}") from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise FerError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise FerError(f"{path}: expected a mapping of keys to values, given {type(values).__name__}")
    return values


def check(model: type[Model], values: dict, path: Path, key: str = "") -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise FerError(explain(error, model, path, key)) from error


def explain(error: ValidationError, model: type[BaseModel], path: Path, prefix: str = "") -> str:
    """One line for each mistake: file, key, what was given, what is allowed."""
    lines = []
    for item in error.errors():
        location = [str(part) for part in item["loc"]]
        key = ".".join([prefix, *location] if prefix else location) or "(whole file)"
        if item["type"] == "extra_forbidden":
            allowed = list(fields_at(model, location[:-1]))
            lines.append(f"{path}: unknown key {key!r}{suggestion(location[-1], allowed)}. Allowed: {listing(allowed)}")
        elif item["type"] == "missing":
            lines.append(f"{path}: the key {key!r} is missing")
        else:
            message = item["msg"].removeprefix("Value error, ")
            given = f"given {item['input']!r}; " if not isinstance(item["input"], dict) else ""
            lines.append(f"{path}: {key}: {given}{message[0].lower()}{message[1:]}")
    return "\n".join(lines)


def fields_at(model: type[BaseModel], location: list[str]) -> list[str]:
    """Return the keys allowed at `location` of `model`, looking through containers and unions."""
    found = [model]
    for part in location:
        inside: list[type[BaseModel]] = []
        for candidate in found:
            if part in candidate.model_fields:
                inside += models_in(candidate.model_fields[part].annotation)
        found = inside or found
    return sorted({name for candidate in found for name in candidate.model_fields})


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in models_in(argument)]


def suggestion(given: str, allowed: list[str]) -> str:
    close = difflib.get_close_matches(given, allowed, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def listing(names) -> str:
    return ", ".join(sorted(names)) or "none"


def constructor(package: Path, name: str, asking: Path) -> type[Strict]:
    """Return the model of a registered class's own options, read from its constructor without importing it.

    The options are the keyword-only arguments of the class decorated with `@register` in the package's module `name`
    (a system's architecture, an adapter's options). `asking` is the parameter file that wants it.
    """
    path = package / f"{name}.py"
    if not path.exists():
        raise FerError(f"{asking} has no module: {path} does not exist")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and any(ast.unparse(item) == "register" for item in node.decorator_list):
            return create_model(node.name, __base__=Strict, **keyword_arguments(node))
    raise FerError(f"{path} has no class decorated with @register")


def keyword_arguments(definition: ast.ClassDef) -> dict[str, tuple]:
    """Return name: (type, default) of the keyword-only arguments of a class's constructor, if it has its own."""
    init = next((i for i in definition.body if isinstance(i, ast.FunctionDef) and i.name == "__init__"), None)
    names = {"Literal": Literal, "Fraction": Fraction, "Positive": Positive}
    return {
        argument.arg: (
            eval(ast.unparse(argument.annotation), names),  # our own source, never a user's text
            ... if default is None else ast.literal_eval(default),
        )
        for argument, default in (zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True) if init else ())
    }
