"""Datasets: one module each, holding the adapter that reads its official layout.

An adapter turns a dataset *as its owners hand it out* into originals (stage acquire) and says what each one shows
(stage index). Adding a dataset is one module here, decorated with `@register`, and `params/datasets/<name>.yaml`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fer.errors import FerError
from fer.params import Dataset
from fer.registry import Registry

PARTS = ("train", "val", "test")

# The label space that all datasets share; each dataset's own class names map into it.
EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt")
SYNONYMS = {"angry": "anger", "happy": "happiness", "joy": "happiness", "sad": "sadness"}


def expression(class_name: str) -> str:
    """Return the common name of a dataset's class: `expression("happy") == "happiness"`."""
    name = class_name.lower()
    name = SYNONYMS.get(name, name)
    if name not in EXPRESSIONS:
        raise FerError(f"unknown expression {class_name!r}. Known: {', '.join((*EXPRESSIONS, *SYNONYMS))}")
    return name


@dataclass(frozen=True)
class Original:
    """One distributed image: its place in the source, its encoded bytes, and what is written beside it."""

    path: str
    image: bytes
    annotation: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """What one original shows.

    `label` is the class code; `part` the official part ("train", "val", "test"), or None where there is none.
    """

    label: int
    part: str | None = None
    subject: str | None = None
    modality: str = "visible"
    pair: str | None = None


class Adapter(ABC):
    """Reads one dataset. `left_out` collects files that are no part of it, for the report of acquire."""

    def __init__(self, parameters: Dataset):
        self.parameters = parameters
        self.classes = parameters.classes
        self.left_out: list[str] = []

    @abstractmethod
    def originals(self, source: Path) -> Iterator[Original]:
        """Yield every original of `source` (archive, folder or file) in a stable order."""

    @abstractmethod
    def describe(self, path: str, annotation: dict[str, str]) -> Sample:
        """Say what the original at `path` shows."""

    @abstractmethod
    def write_synthetic(self, samples: int, target: Path) -> Path:
        """Write `samples` synthetic faces below the folder `target` in the official layout; return the source."""


_adapters: Registry[type[Adapter]] = Registry("fer.datasets")
register = _adapters.register


def adapter(name: str, parameters: Dataset) -> Adapter:
    """Return the adapter of the dataset `name`."""
    return _adapters.find(name)(parameters)
