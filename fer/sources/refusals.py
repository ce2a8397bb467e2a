"""What is not read of a source, gathered over all its archives, so that one error names all of it."""

from __future__ import annotations

from fer.errors import FerError
from fer.wording import counted, examples

WAYS_OUT = {
    "entry": (
        "entries",
        "Archives with such entries are not read; if you trust this one, unpack it yourself and give the folder.",
    ),
    "file": ("files", "Rename it, remove it, or give another folder."),
}


class Refusals:
    """What is not read of a source: gathered, so that one error names all of it."""

    def __init__(self):
        self.lines: list[str] = []
        self.found: dict[tuple[str, str, str], list[tuple[str, str]]] = {}

    def __bool__(self) -> bool:
        return bool(self.lines or self.found)

    def add(self, place: str, name: object, fault: str, detail: str = "", noun: str = "entry") -> None:
        """Note what is wrong with the entry `name` of the archive `place`, or with a file of the folder `place`.

        Args:
            fault: what all of a kind have in common, such as "is a link".
            detail: what this one adds to it, such as where it leads to.
        """
        self.found.setdefault((place, fault, noun), []).append((repr(name), detail))

    def check(self) -> None:
        """Raise one `FerError` with a line for each place and each kind of fault, if there is any."""
        if self:
            raise FerError("\n".join(self.lines + [refused(*kind, names) for kind, names in self.found.items()]))


def refused(place: str, fault: str, noun: str, names: list[tuple[str, str]]) -> str:
    """Return the line about the entries of one archive, or the files of one folder, that have one fault."""
    if len(names) == 1:
        [(name, detail)] = names
        what = f"the {noun} {name} {fault}{detail and ' '}{detail}"
    else:
        shown = [f"{name} {detail}".rstrip() for name, detail in names]
        what = f"each of {counted(len(names), noun, WAYS_OUT[noun][0])} {fault}: {examples(shown)}"
    return f"{place}: {what}. {WAYS_OUT[noun][1]}"
