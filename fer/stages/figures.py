"""report figures: confusion matrix, learning curves and reliability diagram of one experiment."""

from __future__ import annotations

from fer.layout import Layout
from fer.reporting import figures as drawing
from fer.reporting.results import Result


def figures(result: Result, layout: Layout) -> str:
    """Draw the figures of an experiment from the summaries of its runs; return a line for the terminal."""
    drawing.confusion(result, layout.figure_of(result.name, "confusion"))
    drawing.curves(result, layout.figure_of(result.name, "curves"))
    drawing.reliability_diagram(result, layout.figure_of(result.name, "reliability"))
    return f"in {layout.figures(result.name)}"
