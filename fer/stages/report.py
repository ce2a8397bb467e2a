"""report: from everything evaluated to `reports/`, tables (Markdown, LaTeX, CSV), figures and one HTML page."""

from __future__ import annotations

import base64
from pathlib import Path

import jinja2
import yaml

from fer.layout import Layout
from fer.params import Study
from fer.reporting import figures, tables
from fer.reporting.data import collect_data
from fer.reporting.results import Result, collect
from fer.storage import require, write_text

TEMPLATES = Path(__file__).parents[1] / "reporting" / "templates"


def report(study: Study) -> str:
    """Write the report of a study; return a line for the terminal."""
    layout = Layout(Path(study.root))
    folder, results = layout.reports(), collect(study)
    for result in results:
        figures.confusion(result, layout.figure(result.name, "confusion"))
        figures.curves(result, layout.figure(result.name, "curves"))
    write_text(folder / "results.csv", tables.numbers(results).to_csv(index=False, lineterminator="\n"))
    write_text(folder / "results.tex", tables.latex(results))
    write_text(folder / "results.md", render("results.md.j2", study, results))
    write_text(folder / "index.html", render("index.html.j2", study, results))
    return f"{len(results)} experiments in {folder / 'results.md'} and {folder / 'index.html'}"


def render(template: str, study: Study, results: list[Result]) -> str:
    """Fill a template with the study, its data, its results and the functions that present them."""
    summaries = collect_data(study)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    synthetic = any(item.synthetic for item in (*results, *summaries))
    return environment.get_template(template).render(
        study=study,
        summaries=summaries,
        results=results,
        tables=tables,
        figure=Layout(Path(study.root)).figure,
        picture=picture,
        to_yaml=lambda value: yaml.safe_dump(value, sort_keys=False).rstrip(),
        synthetic_note=tables.SYNTHETIC_NOTE if synthetic else None,
    )


def picture(path: Path) -> str:
    """Return an image file as a data URI: the page is whole in one file."""
    return f"data:image/png;base64,{base64.b64encode(require(path).read_bytes()).decode()}"
