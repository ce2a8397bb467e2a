"""Experiments, and the studies that run them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fer.params.base import NAME, Fraction, Modality, Name, Positive, Protocol, Seed, Side, Strict, Threads, Views


class Published(Strict):
    """The published figure that an experiment is compared with, and its source."""

    accuracy: Fraction | None = Field(description="top-1 accuracy on the test images; null where none was published")
    source: str
    note: str = ""

    @property
    def sentence(self) -> str:
        """The figure in words, with its source and note, as reports print it."""
        figure = "none" if self.accuracy is None else f"{100 * self.accuracy:.2f} %"
        return f"Published: {figure} ({self.source}). {self.note}".rstrip()

    @property
    def withheld(self) -> str:
        """What is shown instead beside results on synthetic faces."""
        return "Published: not shown beside results on synthetic faces, which must not be compared with it."


class Experiment(Strict):
    """A system on a dataset. As a variant (`variant_of`) it says only what differs from another experiment."""

    variant_of: Name | None = Field(
        None, description="the experiment that this one is set beside, and whose keys it takes"
    )
    kind: Literal["sound", "as_published", "defect", "ablation"] = Field(
        "sound",
        description="sound: subjects kept apart, epoch chosen on validation, test part used once; as_published: "
        "with the original's split and choice of epoch; defect: with one of its faults; ablation: without a part",
    )
    change: str = Field("", description="of a variant: in a few words, what differs")
    compared_with: Name | None = Field(
        None,
        description="of a variant: the experiment that differs from it only by `change`, which the tables set it "
        "against; default: variant_of",
    )
    not_compared: str = Field(
        "", description="of a variant without an experiment that differs from it only by `change`: the reason"
    )
    dataset: Name
    system: Name
    modality: Modality = Field("visible", description="fused: both images of a pair")
    views: Views = Field("face", description="both: the eyes and the mouth block; boxes: only their eight numbers")
    constant_image: bool = Field(
        False, description="a defect: every block is cut from one image, so that it shows only where its box was"
    )
    augment_before_split: bool = Field(
        False, description="a defect: images and their offline variants are divided among the parts together, at random"
    )
    protocol: Protocol
    published: Published
    architecture: dict[str, Any] = Field(default_factory=dict, description="what differs from the system's")
    input: dict[str, Any] = Field(default_factory=dict, description="what differs from the system's input")
    recipe: dict[str, Any] = Field(default_factory=dict, description="what differs from the system's recipe")
    infrared_from: Name | None = Field(
        None, description="of a fused system: the experiment whose trained network its infrared branch starts from"
    )
    teacher: Name | None = Field(
        None, description="label-distribution training: the experiment whose network gives the target distributions"
    )
    deviations: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def variants_say_what_differs(self) -> Experiment:
        """Refuse a sound experiment with keys of a variant, a variant without them, and keys that contradict."""
        if (self.variant_of is None) != (self.kind == "sound") or bool(self.variant_of) != bool(self.change):
            raise ValueError("variant_of, change and a kind other than sound go together")
        if (self.compared_with or self.not_compared) and not self.variant_of:
            raise ValueError("compared_with and not_compared are keys of a variant; this experiment has no variant_of")
        if self.compared_with and self.not_compared:
            raise ValueError("give either compared_with or not_compared")
        if self.constant_image and self.views not in ("eyes", "mouth", "both"):
            raise ValueError("constant_image needs views: eyes, mouth or both")
        if self.infrared_from and self.modality != "fused":
            raise ValueError("infrared_from needs modality: fused")
        return self

    @property
    def against(self) -> str | None:
        """The experiment that a variant is compared with; None where there is none, and of a sound experiment."""
        return None if self.not_compared else self.compared_with or self.variant_of

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

    windows: list[Annotated[float, Field(gt=0, le=1)]] | None = Field(None, min_length=1)
    samples: Positive | None = None
    stride: Annotated[float, Field(gt=0, le=1)] | None = None
    steps: Positive | None = None


class ExperimentOverrides(Strict):
    """What a study may change of an experiment: its cost, and the weights it starts from."""

    epochs: Positive | None = None
    steps: Positive | None = None
    batch_size: Positive | None = None
    learning_rate: Annotated[float, Field(gt=0, le=1000)] | None = Field(None, description="for a training cut short")
    size: Side | None = Field(None, description="side of the input in pixels")
    draws: Annotated[int, Field(gt=0, le=1000)] | None = Field(None, description="of each offline transform")
    weights: str | None = Field(None, description="of a torchvision backbone: random, imagenet, or a file")
    start_from: str | None = Field(None, description="folder of a trained run whose weights training starts from")
    folds: Positive | None = Field(None, description="train only this number of the protocol's folds, from the first")


class Study(Strict):
    """The experiments, folds and seeds that `all` makes; without experiments, the data and a report on them."""

    name: Name
    root: str = Field(".", pattern=rf"^(\.|{NAME}(/{NAME})*)$", description="folder of its artifacts")
    datasets: dict[Name, DatasetOverrides | None] = Field(default_factory=dict)
    experiments: dict[Name, ExperimentOverrides | None] = Field(
        description="by name, with what the study changes in them; {}: only the datasets"
    )
    seeds: list[Seed] = Field([0], min_length=1)
    explain: ExplainOverrides = ExplainOverrides()
    corrupted: Positive | None = Field(
        None, description="largest number of test images to corrupt when a run's robustness is measured; default 1,000"
    )
    split_seed: Seed = Field(0, description="seed of the protocols that draw")
    threads: Threads = Field(1, description="CPU threads of one training job; part of what makes a run repeatable")
    bf16_on_cpu: bool = Field(
        False,
        description="train in bfloat16 on CPUs that have it, too, where the recipe says bf16-mixed: faster, but the "
        "bits then depend on the machine",
    )
    cross_dataset: list[Name] = Field(
        default_factory=list,
        description="experiments on different datasets whose networks are tested on one another's datasets, too",
    )

    external: list[Annotated[str, Field(pattern=rf"^{NAME}:[a-z0-9_]+:{NAME}$")]] = Field(
        default_factory=list,
        description="systems outside this project, as dataset:protocol:name, which `fer score` has scored and the "
        "tables set beside the study's own",
    )

    @model_validator(mode="after")
    def distinct_seeds(self) -> Study:
        """Refuse seeds that repeat, and a study that names nothing to make."""
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {self.seeds} repeat")
        if not self.experiments and not self.datasets:
            raise ValueError("the study names neither experiments nor datasets")
        return self

    def dataset_overrides(self, name: str) -> dict[str, Any]:
        """Return the study's changes to a dataset's parameters, by key."""
        overrides = self.datasets.get(name)
        return overrides.model_dump(exclude_none=True, exclude={"protocols"}) if overrides else {}

    def train_options(self) -> dict[str, Any]:
        """Return the options of `fer train` that the study sets, by name."""
        return {"bf16-on-cpu": True} if self.bf16_on_cpu else {}

    def evaluate_options(self) -> dict[str, Any]:
        """Return the options of `fer evaluate` that the study sets, by name."""
        return self.model_dump(include={"corrupted"}, exclude_none=True)

    def explain_overrides(self) -> dict[str, Any]:
        """Return the study's changes to the parameters of stage explain, by key."""
        return self.explain.model_dump(exclude_none=True)

    def overrides(self, experiment: str) -> dict[str, Any]:
        """Return the study's changes to the runs of an experiment, by key."""
        overrides = self.experiments[experiment]
        return overrides.model_dump(exclude_none=True, exclude={"folds"}) if overrides else {}

    def most_folds(self, experiment: str) -> int | None:
        """Return how many of an experiment's folds the study makes, the first ones; None: all of them."""
        overrides = self.experiments[experiment]
        return overrides.folds if overrides else None


class Config(Strict):
    """Snakemake's own configuration (`--config`)."""

    study: str = Field("params/study.yaml", description="the study file")
    gpu: Literal[0, 1] | None = Field(
        None,
        description="GPUs that a job claims if it runs a network; default: 1 on a cluster and where there is one",
    )
