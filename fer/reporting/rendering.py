"""Pages and documents, made from a template and its content."""

from __future__ import annotations

from pathlib import Path

import jinja2

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, content: dict) -> str:
    """Return a template of `fer/reporting/templates/` filled in; an HTML template escapes what it is given.

    Raises:
        jinja2.UndefinedError: the template names what `content` lacks.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(content)
