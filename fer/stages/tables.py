"""report tables: from the summaries of all runs to the tables of a study, and the whole report as data."""

from __future__ import annotations

from pathlib import Path

from fer.layout import Layout
from fer.params import Study
from fer.reporting import autopsy, comparison, external, names, robustness, significance, transfer
from fer.reporting.document import document
from fer.reporting.results import Result, collect
from fer.reporting.tables import Table
from fer.storage import remove_others, write_json, write_text
from fer.wording import counted


def tables(study: Study) -> str:
    """Write the tables of a study (Markdown, LaTeX, CSV) and `reports/results.json`; return a line for the terminal."""
    layout, results = Layout(Path(study.root)), collect(study)
    overview, others = comparison.overview(results), make_tables(study, results)
    remove_others(layout.tables(), [layout.table(name, form) for name in others for form in names.FORMS])
    for table in others.values():
        write_text(layout.table(table.name, "md"), table.document())
    for table in (overview, *others.values()):
        place = layout.reports() / "results" if table is overview else layout.table(table.name, "md").with_suffix("")
        write_text(place.with_suffix(".csv"), table.csv())
        write_text(place.with_suffix(".tex"), table.latex())
    write_json(layout.results(), document(study, results, overview, others))
    return f"{counted(len(others) + 1, 'table')} of {counted(len(results), 'experiment')} in {layout.reports()}"


def make_tables(study: Study, results: list[Result]) -> dict[str, Table]:
    """Return every table beside the overview by its name, in the order of `fer.reporting.names.tables`."""
    if not results:
        return {}
    builders = {
        "autopsy": lambda _: autopsy.autopsy(results),
        "ablations": lambda _: autopsy.ablations(results),
        "significance": lambda _: significance.table(results),
        "cross_dataset": lambda _: transfer.table(study, results),
        "external": lambda _: external.table(study, results),
        "robustness": lambda _: robustness.summary(results),
        "cost": lambda _: comparison.costs(results),
        "dataset": lambda name: comparison.of_dataset(name, results),
        "system": lambda name: comparison.of_system(name, results),
    }
    split = {name: name.partition("-") for name in names.tables(study)}
    return {name: builders[kind](of) for name, (kind, _, of) in split.items()}
