"""report page: from `reports/results.json` and the figures to the page, the Markdown and the model cards."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import yaml

from fer.layout import Layout
from fer.reporting.rendering import render
from fer.reporting.tables import SYNTHETIC_NOTE, TEXT_COLUMNS, markdown_of
from fer.storage import read_json, remove_others, require, write_text
from fer.wording import counted

QUALITY = 70  # of the WebP files that the page embeds: a quarter of the PNG files, so that it stays below 5 MB


def page(layout: Layout) -> str:
    """Write `results.md`, `index.html` and a card for each system; return a line for the terminal."""
    document, folder = read_json(layout.results()), layout.reports()
    content = document | {
        "known": {experiment["name"] for experiment in document["experiments"]},
        "synthetic_note": SYNTHETIC_NOTE if document["synthetic"] else None,
        "left": TEXT_COLUMNS,
        "markdown": markdown_of,
        "counted": counted,
        "figure": layout.figure,
        "figure_of": layout.figure_of,
        "picture": picture,
        "to_yaml": lambda value: yaml.safe_dump(value, sort_keys=False).rstrip(),
    }
    remove_others(layout.cards(), [layout.card(system["name"]) for system in document["systems"]])
    for system in document["systems"]:
        own = [experiment for experiment in document["experiments"] if experiment["system"] == system["name"]]
        write_text(layout.card(system["name"]), render("card.md.j2", content | {"system": system, "own": own}))
    write_text(folder / "results.md", render("results.md.j2", content))
    write_text(folder / "index.html", render("index.html.j2", content))
    return f"{folder / 'results.md'}, {folder / 'index.html'} and {counted(len(document['systems']), 'model card')}"


def picture(path: Path) -> str:
    """Return a PNG file as a data URI, smaller, as WebP: the page is whole in one file."""
    image = cv2.imdecode(np.frombuffer(require(path).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1].tobytes()
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"
