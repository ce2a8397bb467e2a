"""report: from everything evaluated to `reports/`, tables (Markdown, LaTeX, CSV), figures and one HTML page."""

from __future__ import annotations

import base64
from pathlib import Path

import jinja2
import yaml

from fer.layout import Layout
from fer.params import Study
from fer.reporting import figures, tables
from fer.reporting.results import Result, collect
from fer.storage import write_text

TEMPLATES = Path(__file__).parents[1] / "reporting" / "templates"


def report(study: Study) -> str:
    """Write the report of a study; return a line for the terminal."""
    folder = Layout(Path(study.root)).reports()
    results = collect(study)
    for result in results:
        figures.confusion(result, figure_path(folder, result.name, "confusion"))
        figures.curves(result, figure_path(folder, result.name, "curves"))
    write_text(folder / "results.csv", tables.numbers(results).to_csv(index=False, lineterminator="\n"))
    write_text(folder / "results.tex", tables.latex(results))
    write_text(folder / "results.md", render("results.md.j2", study, results))
    write_text(folder / "index.html", render("index.html.j2", study, results))
    return f"{len(results)} experiments in {folder / 'results.md'} and {folder / 'index.html'}"


def figure_path(folder: Path, experiment: str, kind: str) -> Path:
    return folder / "figures" / f"{experiment}.{kind}.png"


def render(template: str, study: Study, results: list[Result]) -> str:
    """Fill a template with the study, its results and the functions that present them."""
    folder = Layout(Path(study.root)).reports()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )

    def inline(experiment: str, kind: str) -> str:
        data = figure_path(folder, experiment, kind).read_bytes()
        return f"data:image/png;base64,{base64.b64encode(data).decode()}"

    return environment.get_template(template).render(
        study=study,
        results=results,
        tables=tables,
        inline=inline,
        to_yaml=lambda value: yaml.safe_dump(value, sort_keys=False).rstrip(),
        synthetic_note=tables.SYNTHETIC_NOTE if any(result.synthetic for result in results) else None,
    )
