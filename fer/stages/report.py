"""report: from everything evaluated to `reports/`: tables (Markdown, LaTeX, CSV), figures, model cards, a page."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import cv2
import jinja2
import numpy as np
import yaml

from fer import params
from fer.layout import Layout
from fer.params import Study
from fer.reporting import (
    autopsy,
    calibration,
    comparison,
    figures,
    names,
    robustness,
    significance,
    tables,
    transfer,
)
from fer.reporting.data import collect_data
from fer.reporting.results import Result, collect
from fer.reporting.saliency import explanations
from fer.reporting.tables import Table
from fer.storage import require, write_text
from fer.wording import counted

LARGE = 100_000  # bytes of a PNG file that the page embeds as WebP, a tenth of them
TEMPLATES = Path(__file__).parents[1] / "reporting" / "templates"


def report(study: Study) -> str:
    """Write the report of a study; return a line for the terminal."""
    layout, results = Layout(Path(study.root)), collect(study)
    for result in results:
        if result.kind == "sound":
            figures.confusion(result, layout.figure(result.name, "confusion"))
            figures.curves(result, layout.figure(result.name, "curves"))
            calibration.diagram(result, layout.figure(result.name, "reliability"))
    overview, others = comparison.overview(results), make_tables(study, results)
    folder = layout.reports()
    for table in others.values():
        write_text(layout.table(table.name, "md"), table.document())
    for table in (overview, *others.values()):
        place = folder / "results" if table is overview else layout.table(table.name, "md").with_suffix("")
        write_text(place.with_suffix(".csv"), table.csv())
        write_text(place.with_suffix(".tex"), table.latex())
    content = contents(study, results, overview, others)
    for system in names.systems(study):
        own = [result for result in results if result.first.experiment.system == system]
        write_text(layout.card(system), render("card.md.j2", content | {"system": own[0].first.system, "own": own}))
    write_text(folder / "results.md", render("results.md.j2", content))
    write_text(folder / "index.html", render("index.html.j2", content))
    return f"{counted(len(results), 'experiment')} in {folder / 'results.md'} and {folder / 'index.html'}"


def make_tables(study: Study, results: list[Result]) -> dict[str, Table]:
    """Return every table beside the overview by its name, in the order of `fer.reporting.names.tables`."""
    if not results:
        return {}
    builders = {
        "autopsy": lambda _: autopsy.autopsy(results),
        "ablations": lambda _: autopsy.ablations(results),
        "significance": lambda _: significance.table(results),
        "cross_dataset": lambda _: transfer.table(study, results),
        "robustness": lambda _: robustness.summary(results),
        "cost": lambda _: comparison.costs(results),
        "dataset": lambda name: comparison.of_dataset(name, results),
        "system": lambda name: comparison.of_system(name, results),
    }
    split = {name: name.partition("-") for name in names.tables(study)}
    return {name: builders[kind](of) for name, (kind, _, of) in split.items()}


def contents(study: Study, results: list[Result], overview: Table, others: dict[str, Table]) -> dict:
    """Return what the templates show, and the functions that present it."""
    summaries = collect_data(study)
    synthetic = any(item.synthetic for item in (*results, *summaries))
    explained = explanations(Layout(Path(study.root)), names.drawn(study))
    return {
        "study": study,
        "explained": {item.experiment: item for item in explained},
        "summaries": summaries,
        "results": results,
        "known": {result.name for result in results},
        "overview": overview,
        "tables": others,
        "shown": [name for name, table in others.items() if "-" not in name and len(table.frame)],
        "datasets": names.datasets(study),
        "systems": names.systems(study),
        "table_systems": {name: params.load_system(name) for name in names.systems(study)},
        "link": lambda folder: os.path.relpath(folder, Layout(Path(study.root)).reports()),
        "markdown": tables.markdown,
        "counted": counted,
        "per_class": comparison.per_class,
        "left": tables.TEXT_COLUMNS,
        "layout": Layout(Path(study.root)),
        "picture": picture,
        "to_yaml": lambda value: yaml.safe_dump(value, sort_keys=False).rstrip(),
        "synthetic_note": tables.SYNTHETIC_NOTE if synthetic else None,
    }


def render(template: str, content: dict) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(content)


def picture(path: Path) -> str:
    """Return a PNG file as a data URI: the page is whole in one file. Large ones, mostly photographs, become WebP."""
    data, kind = require(path).read_bytes(), "png"
    if len(data) > LARGE:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        data, kind = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 80])[1].tobytes(), "webp"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
