"""A table in its forms: as numbers (CSV), for reading (Markdown), for a paper (LaTeX, booktabs)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fer.wording import SYNTHETIC, stamp

if TYPE_CHECKING:  # the page is made without it
    import pandas as pd

SYNTHETIC_NOTE = (
    "SYNTHETIC: measured on computer-generated faces, to show that the pipeline works from end to end. "
    "These figures say nothing about real faces and must not be compared with published ones."
)
PAGE, GAP = 119, 2  # characters of a page's width (A4, margins of an inch) in the size below, and between two columns
SMALL = "\\scriptsize\\setlength{\\tabcolsep}{3pt}"
TEXT_COLUMNS = {  # aligned left
    "alignment",
    "against",
    "budget",
    "change",
    "class",
    "command",
    "commit",
    "corruption",
    "dataset",
    "experiment",
    "first",
    "map",
    "modality",
    "part",
    "processor and precision",
    "protocol",
    "row",
    "saw the test images?",
    "second",
    "source",
    "starts from",
    "system",
    "test",
    "tested on",
    "trained",
    "trained on",
}


@dataclass(frozen=True)
class Table:
    """One table of the report.

    `frame` holds text, as people read it; `numbers` the same unrounded, for the CSV; `rows` the experiment behind each
    row of `frame`, where there is one.
    """

    name: str
    title: str
    note: str
    frame: pd.DataFrame
    numbers: pd.DataFrame
    synthetic: bool
    rows: tuple[str, ...] = ()

    def csv(self) -> str:
        """Return the unrounded figures as CSV."""
        return self.numbers.to_csv(index=False, lineterminator="\n")

    def document(self) -> str:
        """Return the table as a Markdown page of its own."""
        warning = f"> **{SYNTHETIC_NOTE}**\n\n" if self.synthetic else ""
        return f"# {self.title}\n\n{warning}{self.note}\n\n{markdown(self.frame)}"

    def shown(self) -> dict:
        """Return what a page shows of the table, ready for JSON."""
        return {"name": self.name, "title": self.title, "note": self.note, "rows": self.rows, **cells(self.frame)}

    def latex(self) -> str:
        """Return booktabs tables to `\\input`, each narrow enough for a page; a table on synthetic data says so."""
        note = self.note + (f" {SYNTHETIC_NOTE}" if self.synthetic else "")
        below = f"\n\\par\\smallskip\n\\parbox{{\\linewidth}}{{{with_commands(latex_text(note))}}}"
        blocks, pieces = columns_of_pages(self.frame), []
        caption = self.title + stamp(self.synthetic and SYNTHETIC not in self.title)
        for number, columns in enumerate(blocks, 1):
            frame = self.frame[columns]
            style = frame.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis="columns")
            text = style.to_latex(
                hrules=True,
                column_format="".join("l" if name in TEXT_COLUMNS else "r" for name in columns),
                caption=latex_text(caption + (f" ({number} of {len(blocks)})" if len(blocks) > 1 else "")),
                label=f"tab:{self.name}" + (f"-{number}" if number > 1 else ""),
                position_float="centering",
            )
            text = with_commands(text).replace("\n\\begin{tabular}", f"\n{SMALL}\n\\begin{{tabular}}", 1)
            end = "\n\\end{tabular}"
            pieces.append(text.replace(end, end + below, 1) if number == 1 else text)
        return "\n".join(pieces)


def columns_of_pages(frame: pd.DataFrame) -> list[list[str]]:
    """Return the columns of tables that a page is wide enough for, in their order; the first column begins each."""
    first = list(frame.columns[:1])  # a table without rows may have none
    width = {name: GAP + max(len(name), *frame[name].astype(str).str.len(), 0) for name in frame.columns}
    blocks = [[*first]]
    for name in frame.columns[1:]:
        if sum(width[each] for each in blocks[-1]) + width[name] > PAGE and len(blocks[-1]) > 1:
            blocks.append([*first])
        blocks[-1].append(name)
    return blocks


def cells(frame: pd.DataFrame) -> dict[str, list]:
    """Return the `columns` of a frame and its `cells`, a list per row, ready for JSON."""
    return {"columns": list(frame.columns), "cells": frame.astype(object).values.tolist()}


def markdown(frame: pd.DataFrame) -> str:
    """Return a GitHub table; the figures' columns are aligned right."""
    return markdown_of(cells(frame))


def markdown_of(table: dict[str, list]) -> str:
    """Return a GitHub table of `cells`."""
    lines = [
        table["columns"],
        [":--" if name in TEXT_COLUMNS else "--:" for name in table["columns"]],
        *table["cells"],
    ]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def latex_text(text: str) -> str:
    """Return text in which LaTeX reads nothing but letters: pandas escapes only the cells of a table."""
    import pandas as pd

    cell = pd.DataFrame([text]).style.hide(axis="index").hide(axis="columns").format(escape="latex").to_latex()
    return cell.partition("\n")[2].rpartition(" \\\\\n")[0]


def with_commands(text: str) -> str:
    """Return LaTeX with commands for the signs that pdfLaTeX does not know."""
    for sign, command in (("±", "$\\pm$"), ("–", "--"), ("−", "$-$"), ("×", "$\\times$"), ("→", "$\\to$")):
        text = text.replace(sign, command)
    return text


def percent(value: float | None, digits: int = 2) -> str:
    """Return a fraction in percent, without the sign; a dash for None."""
    return "–" if value is None else f"{100 * value:.{digits}f}"


def span(low: float, high: float) -> str:
    """Return the bounds of an interval in percent, such as "50.8 – 61.3"."""
    return f"{percent(low, 1)} – {percent(high, 1)}"


def points(*differences: float) -> str:
    """Return a difference of fractions in percentage points, with its sign, and its interval where that is given.

    Examples:
        >>> points(-0.013), points(0.02, -0.01, 0.05)
        ('−1.3', '+2.0 (−1.0 to +5.0)')
    """
    difference, *interval = (f"{100 * value:+.1f}".replace("-", "−") for value in differences)
    return difference + (f" ({' to '.join(interval)})" if interval else "")
