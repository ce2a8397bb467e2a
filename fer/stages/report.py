"""report: from everything evaluated to `reports/`: tables (Markdown, LaTeX, CSV), figures, model cards, a page.

The engines run its three steps as jobs of their own, so that an added experiment draws only its own figures.
"""

from __future__ import annotations

from pathlib import Path

from fer.layout import Layout
from fer.params import Study
from fer.reporting.results import collect
from fer.stages.figures import figures
from fer.stages.page import page
from fer.stages.tables import tables


def report(study: Study) -> str:
    """Write the report of a study; return a line for the terminal."""
    layout = Layout(Path(study.root))
    for result in collect(study):
        if result.kind == "sound":
            figures(result, layout)
    return f"{tables(study)}; {page(layout)}"
