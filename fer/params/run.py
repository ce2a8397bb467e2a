"""A run as its training recorded it, in `parameters.json`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fer.params.base import Modality, Name, Views
from fer.params.dataset import Alignment, Blocks
from fer.params.system import Input, Recipe

REMOVED = ("progressive_sizes",)  # keys of a recipe


class Averaged(BaseModel):
    """Weights averaged with those of an earlier run (`workflow/scripts/average.py`)."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    run: str = Field(description="folder of the earlier run")
    share: float = Field(ge=0, le=1, description="share of its weights")


class RunParameters(BaseModel):
    """Everything that decides what a run trains, and everything needed to use its network again anywhere.

    Keys that only a newer version knows are ignored; those of its sections are not, as they may change its answers.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    experiment: Name
    dataset: Name
    system: Name = Field(description="module in fer/systems/")
    modality: Modality
    views: Views
    constant_image: bool = False
    augment_before_split: bool = False
    protocol: str
    infrared_from: str | None = None
    teacher: str | None = None
    fold: Name
    seed: int
    threads: int
    bf16_on_cpu: bool = Field(False, description="whether bf16-mixed was allowed on a CPU")
    classes: list[str] = Field(min_length=2, description="in the order of the network's outputs")
    alignment: Alignment | None = Field(None, description="how a photograph becomes the crop that the network sees")
    blocks: Blocks | None = Field(None, description="how the eyes and the mouth block are cut out of a face")
    architecture: dict[str, Any] = Field(description="arguments of the network's constructor, defaults included")
    input: Input
    recipe: Recipe = Field(description="with the precision that was in effect")
    overrides: dict[str, Any] = Field(default_factory=dict, description="what the study or --set changed")
    data: dict[str, str] = Field(default_factory=dict, description="sha256 of every file that training read, by name")
    weights: str | None = Field(None, description="sha256 of the weights that training left")
    averaged: Averaged | None = Field(None, description="what the weights that training left were averaged with")
    started_on: dict[str, str] = Field(
        default_factory=dict,
        description="what the networks behind the weights it started from have seen: dataset → part (`part_seen`)",
    )

    @field_validator("recipe", mode="before")
    @classmethod
    def without_removed(cls, recipe: Any) -> Any:
        """Leave out what recipes of earlier versions had, and what changes nothing about a trained network."""
        known = isinstance(recipe, dict)
        return {name: value for name, value in recipe.items() if name not in REMOVED} if known else recipe

    @property
    def trained_on(self) -> dict[str, str]:
        """What its weights have seen, the networks they started from included: dataset → protocol, fold and defects."""
        part = part_seen(self.protocol, self.fold, self.data)
        part += ", epoch chosen on test" if self.recipe.choose_epoch_on == "test" else ""
        part += ", augmented before the split" if self.augment_before_split else ""
        return self.started_on | {self.dataset: part}

    def differences(self, other: RunParameters) -> dict[str, tuple[Any, Any]]:
        """Return what may give the networks of two runs of one system other shapes: key → its value here and there."""
        here, there = (
            {f"input.{name}": getattr(each.input, name) for name in ("size", "channels")}
            | {f"architecture.{name}": value for name, value in each.architecture.items() if name != "weights"}
            for each in (self, other)
        )
        names = sorted(here.keys() | there.keys())
        return {name: (here.get(name), there.get(name)) for name in names if here.get(name) != there.get(name)}

    def dump(self) -> dict[str, Any]:
        """Return the parameters ready for JSON, without those that are not set."""
        return {name: value for name, value in self.model_dump(mode="json").items() if value is not None}


def part_seen(protocol: str, fold: str, data: dict[str, str]) -> str:
    """Return in words which part of a dataset training sees.

    Official parts are the same in every copy of a dataset; parts that are drawn are those of one index and one split.

    Args:
        data: sha256 by name, those of `index` and `split` among them.
    """
    part = f"{protocol}, fold {fold}"
    if protocol == "official":
        return part
    return f"{part} of index {data.get('index', 'unknown')[:8]} and split {data.get('split', 'unknown')[:8]}"
