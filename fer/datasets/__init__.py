"""Datasets: one module each, holding the adapter that reads its official layout.

An adapter turns a dataset *as its owners hand it out* into originals (stage acquire) and says what each one shows
(stage index). Adding a dataset is one module here, decorated with `@register`, and `params/datasets/<name>.yaml`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fer.errors import Faults as Faults
from fer.errors import FerError
from fer.expressions import expression
from fer.params import Dataset
from fer.registry import Registry


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
    `modality` is "visible" or "infrared"; the two images of a pair share `pair`, the frames of a sequence `sequence`:
    no protocol tears them apart. `votes` are the shares of the classes where several people labelled the image.
    """

    label: int
    part: str | None = None
    subject: str | None = None
    modality: str = "visible"
    pair: str | None = None
    sequence: str | None = None
    votes: list[float] | None = None


class Adapter(ABC):
    """Reads one dataset. Keyword-only arguments of an adapter's own constructor are the `options` of its parameters.

    `left_out` says why which files of the source are not among the originals: {reason: paths}; `remarks` what is to be
    known of some that are.
    """

    def __init__(self, parameters: Dataset):
        self.parameters = parameters
        self.classes = parameters.classes
        self.left_out: dict[str, list[str]] = {}
        self.remarks: dict[str, list[str]] = {}

    def leave_out(self, path: str, reason: str) -> None:
        """Note a file that is no original of this dataset, for the report."""
        self.left_out.setdefault(reason, []).append(path)

    def remark(self, path: str, what: str) -> None:
        """Note what is to be known of an original, for the terminal."""
        self.remarks.setdefault(what, []).append(path)

    def code(self, name: str, where: str) -> int:
        """Return the code of the class that a source calls `name`, whatever synonym or case it uses."""
        codes = {expression(own): code for code, own in enumerate(self.classes)}
        try:
            return codes[expression(name)]
        except (FerError, KeyError) as error:
            raise FerError(f"{where}: unknown label {name!r}; expected {', '.join(self.classes)}") from error

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
    return _adapters.find(parameters.adapter or name)(parameters, **parameters.options)
