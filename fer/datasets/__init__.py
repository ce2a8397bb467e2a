"""Datasets: one module each, holding the adapter that reads its official layout.

An adapter turns a dataset *as its owners hand it out* into originals (stage acquire) and says what each one shows
(stage index). Adding a dataset is one module here, decorated with `@register`, and `params/datasets/<name>.yaml`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fer import sources
from fer.errors import Faults as Faults
from fer.errors import FerError
from fer.expressions import codes_by_expression, expression
from fer.params import Dataset
from fer.registry import Registry
from fer.wording import counted


@dataclass(frozen=True)
class Original:
    """One distributed image.

    `path`: its place in the source, relative, with forward slashes, unique; `image`: its encoded bytes (PNG, JPEG,
    TIFF, …) exactly as distributed; `annotation`: what the source says of it beside the image (columns of a label
    file), kept as text, from which `Adapter.describe` reads its label.

    Examples:
        >>> original = Original("images/s07_12.png", b"...", {"emotion": "happy"})
        >>> original.annotation["emotion"]
        'happy'
    """

    path: str
    image: bytes
    annotation: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """What one original shows.

    `label` is the class code; `part` the official part ("train", "val", "test"), or None where there is none.
    `modality` is "visible" or "infrared"; the two images of a pair share `pair`, the frames of a sequence `sequence`:
    no protocol tears them apart, except those named random. `votes` are the shares of the classes, which sum to 1,
    where several people labelled the image.

    Examples:
        >>> Sample(3, subject="KA").part is None  # JAFFE has no official parts
        True
    """

    label: int
    part: str | None = None
    subject: str | None = None
    modality: str = "visible"
    pair: str | None = None
    sequence: str | None = None
    votes: list[float] | None = None


class Adapter(ABC):
    """Reads one dataset in the layout of its owners. A subclass has three methods and the decorator `@register`.

    Keyword-only arguments of an adapter's own constructor are the `options` of its parameter file. `left_out` says
    which files of the source are not originals, and why: {reason: paths}; `remarks` says what is special about some
    of the originals.

    Examples:
        >>> from fer.params import load_dataset
        >>> jaffe = adapter("jaffe", load_dataset("jaffe"))
        >>> jaffe.describe("KA.HA1.29.tiff", {})
        Sample(label=3, part=None, subject='KA', modality='visible', pair=None, sequence=None, votes=None)
        >>> jaffe.code("joy", where="row 7")  # synonyms are known
        3
    """

    subject: re.Pattern | None = None  # the option `subject` of those that have it

    def __init__(self, parameters: Dataset):
        self.parameters = parameters
        self.classes = parameters.classes
        self.left_out: dict[str, list[str]] = {}
        self.remarks: dict[str, list[str]] = {}

    def leave_out(self, path: str, reason: str) -> None:
        """Note a file that is not an original of this dataset, and why, for the report."""
        self.left_out.setdefault(reason, []).append(path)

    def each_once(self, source: Path, identify: Callable[[str], str | None], reason: str) -> Iterator[Original]:
        """Yield the images whose path holds their annotation; the same one in two places is an error.

        Args:
            identify: returns what distinguishes an image from the others, given its path; None for any other file.
            reason: why those files are left out.
        """
        seen: dict[str, str] = {}
        faults = Faults()
        for path, handle in sources.files(source):
            identity = identify(path) if sources.is_image_name(path) else None
            if identity is None:
                self.leave_out(path, reason)
                continue
            with faults.of(path):
                self.describe(path, {})
            if (other := seen.setdefault(identity, path)) != path:
                faults.say(f"{path} and {other} are the same image {identity}")
            yield Original(path, handle.read())
        faults.check()

    def remark(self, path: str, what: str) -> None:
        """Note what is special about an original, for the terminal."""
        self.remarks.setdefault(what, []).append(path)

    def code(self, name: str, where: str) -> int:
        """Return the code of the class that a source calls `name`, whatever synonym or case it uses.

        Args:
            name: as the source writes it, such as "Happiness".
            where: file or row, for the error message.

        Raises:
            FerError: no class of the dataset has that name.
        """
        codes = codes_by_expression(self.classes)
        try:
            return codes[expression(name)]
        except (FerError, KeyError) as error:
            raise FerError(f"{where}: unknown label {name!r}; expected {', '.join(self.classes)}") from error

    def subject_of(self, path: str) -> str | None:
        """Return the subject that the option `subject` finds in a path; None without the option."""
        found = self.subject and self.subject.search(path)
        if self.subject and not (found and found[1]):
            raise FerError(f"{path}: options.subject, {self.subject.pattern!r}, finds no subject in this path")
        return found[1] if found else None

    @abstractmethod
    def originals(self, source: Path) -> Iterator[Original]:
        """Yield every original of `source` (archive, folder or file), in the same order each time.

        Files that are not originals are passed to `leave_out`.

        Raises:
            FerError: the source has another layout, or files are missing, damaged or contradict each other.
        """

    @abstractmethod
    def describe(self, path: str, annotation: dict[str, str]) -> Sample:
        """Return what the original at `path` shows, using only its path and its annotation.

        Raises:
            FerError: the label or the subject is unknown.
        """

    @abstractmethod
    def write_synthetic(self, samples: int, target: Path) -> Path:
        """Write `samples` synthetic faces below the folder `target` in the official layout; return the source."""


def with_one_group(option: str, pattern: str | None) -> re.Pattern | None:
    """Return an adapter's option that is a regular expression with one group, compiled; None where it is not given."""
    try:
        compiled = None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise FerError(f"options.{option}: {pattern!r} is not a valid regular expression: {error}") from error
    if compiled is not None and compiled.groups != 1:
        raise FerError(
            f"options.{option}: {pattern!r} has {counted(compiled.groups, 'group')}; expected one "
            f"pair of brackets, around the {option}, such as '/(S\\d+)_' (other brackets begin with ?:)"
        )
    return compiled


_adapters: Registry[type[Adapter]] = Registry("fer.datasets")
register = _adapters.register


def adapter(name: str, parameters: Dataset) -> Adapter:
    """Return the adapter of the dataset `name`: the class registered in its module, or in that of `adapter:`."""
    return _adapters.find(parameters.adapter or name)(parameters, **parameters.options)
