"""A system: what its network sees, and the recipe by which it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fer.params.base import Fraction, Positive, Side, Strict
from fer.wording import counted


class Input(Strict):
    """What the network sees: crops resized to `size`, scaled to [0, 1], then (x - mean) / std.

    Examples:
        >>> Input(size=48, channels=1, mean=0.5, std=0.5)
        Input(size=48, channels=1, mean=0.5, std=0.5)
    """

    size: Side
    channels: Literal[1, 3]
    mean: float | list[float] = Field(description="one number, or one for each channel")
    std: Annotated[float, Field(gt=0)] | list[Annotated[float, Field(gt=0)]]

    @model_validator(mode="after")
    def one_for_each_channel(self) -> Input:
        """Refuse a mean or std whose length is not the number of channels."""
        for name in ("mean", "std"):
            value = getattr(self, name)
            if isinstance(value, list) and len(value) != self.channels:
                raise ValueError(f"{name} has {counted(len(value), 'number')} for {counted(self.channels, 'channel')}")
        return self


class Augmentation(Strict):
    """Random transforms of each training image, drawn anew for every image and epoch."""

    horizontal_flip: Fraction = 0.0
    rotation: Annotated[float, Field(ge=0, le=180)] = Field(0.0, description="degrees, uniform in ±rotation")
    translation: Fraction = Field(0.0, description="fraction of the side, uniform in ±translation")
    scale: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="zoom factor uniform in 1 ± scale")
    brightness: Fraction = Field(0.0, description="factor uniform in 1 ± brightness")
    contrast: Fraction = Field(0.0, description="factor uniform in 1 ± contrast")
    saturation: Fraction = Field(0.0, description="factor uniform in 1 ± saturation; RGB only")
    erasing: Fraction = Field(0.0, description="chance that a rectangle of 2 to 20 % of the image becomes mid-grey")


class OfflineAugmentation(Strict):
    """Variants of each training image made once, before training: `draws` of each of five transforms.

    The magnitudes of Naseem et al. 2025 (PeerJ CS 11:e2676) and its code: 26 times the training images.
    """

    draws: Annotated[int, Field(gt=0, le=1000)] = 5
    rotation: Annotated[float, Field(ge=0, le=180)] = Field(20, description="degrees, uniform in ±rotation; black fill")
    zoom_out: Annotated[float, Field(ge=1, le=16)] = Field(
        1.5, description="side of the canvas, uniform in 1 to zoom_out"
    )
    fill: Annotated[int, Field(ge=0, le=255)] = Field(123, description="grey of the canvas that zoom_out adds")
    perspective: Fraction = Field(0.5, description="torchvision's distortion scale")
    shear: Annotated[float, Field(ge=0, lt=90)] = Field(
        0.2, description="degrees, with another rotation, uniform in ±shear"
    )


class Recipe(Strict):
    """How a system is trained. Its length is given in `epochs` or in `steps`, never both."""

    epochs: Positive | None = None
    steps: Positive | None = None
    start_from: str | None = Field(
        None,
        description="folder of a trained run of the same system, such as fer/pretrained/fer2013-fer_baseline, whose "
        "weights training starts from; default: random ones",
    )
    batch_size: Positive
    optimizer: Literal["adam", "adamw", "sgd"] = Field(description="sgd has momentum 0.9")
    learning_rate: Annotated[float, Field(gt=0, le=1000)]
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
    test_time_crop: Side | None = Field(
        None,
        description="side of five crops of an image, its corners and its middle, each enlarged to the whole, whose "
        "probabilities are averaged instead of the image's; with test_time_flip ten",
    )
    choose_epoch_on: Literal["val", "test"] = Field(
        "val", description="test is a defect: the figure is then not a test result"
    )
    dropout_at_evaluation: bool = Field(False, description="a defect: dropout stays on when images are classified")
    dense_penalty: Annotated[float, Field(ge=0)] = Field(
        0.0, description="λ of λ·‖w‖² over the weights of the last two fully connected layers, added to the loss"
    )
    gradient_clip: Annotated[float, Field(gt=0)] | None = Field(
        None, description="largest norm of the gradient; longer ones are shortened to it"
    )
    precision: Literal["32-true", "bf16-mixed"] = Field(
        "32-true",
        description="bf16-mixed takes effect on GPUs that have bfloat16; on CPUs that have it, if a study says so",
    )
    augmentation: Augmentation = Augmentation()
    offline: OfflineAugmentation | None = Field(None, description="variants made before training (stage augment)")

    @model_validator(mode="after")
    def one_length(self) -> Recipe:
        """Refuse a recipe with both epochs and steps or neither, and a period without cycles."""
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        if (self.period is None) == (self.schedule == "cosine_cycles"):
            raise ValueError("period and schedule cosine_cycles go together")
        return self

    @property
    def test_time_views(self) -> int:
        """How many views of an image are classified, their probabilities averaged (`fer.training.views`)."""
        return (5 if self.test_time_crop else 1) * (2 if self.test_time_flip else 1)

    def override(self, values: dict[str, Any]) -> Recipe:
        """Return a copy with `values` in place; overriding one of epochs and steps drops the other."""
        merged = self.model_dump()
        if values.keys() & {"epochs", "steps"}:
            merged.update(epochs=None, steps=None)
        return Recipe.model_validate(deep_merge(merged, values))


def deep_merge(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `values` with `changes` in place; other keys of a changed mapping stay."""
    merged = dict(values)
    for key, change in changes.items():
        old = values.get(key)
        merged[key] = deep_merge(old, change) if isinstance(old, dict) and isinstance(change, dict) else change
    return merged


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings with their keys joined by dots, as `--set` takes them: recipe.optimizer."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


class System(Strict):
    """A system as `params/systems/<name>.yaml` describes it: its network's options, its input and its recipe."""

    title: str
    citation: str
    architecture: dict[str, Any] = Field(default_factory=dict, description="arguments of the network's constructor")
    input: Input
    recipe: Recipe
    deviations: list[str] = Field(description="where this reproduction departs from the publication, and why")
    limits: list[str] = Field(
        default_factory=list, description="for the model card: what it cannot do, or was not shown"
    )
