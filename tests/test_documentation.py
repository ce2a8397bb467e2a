"""What the documentation names exists (files, links, commands, targets), and the examples in docstrings run."""

import doctest
import importlib
import re
from pathlib import Path

import pytest
import typer

from fer.cli.main import app

PAGES = [Path(name) for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(Path("docs").glob("*.md"))
README_LINES = 150
EXAMPLES = {"params/studies/mine.yaml"}  # what a reader writes
WITH_EXAMPLES = [path for path in sorted(Path("fer").rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]
REFERENCE = re.findall(r"^::: (\S+)$", Path("docs/reference.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
REAL = sorted(Path("reports/real").glob("*.md"))
TOP = ("fer", "params", "docs", "tests", "workflow", "benchmarks", "reports/real")


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_and_link_that_a_page_names_exists(page):
    text = read(page)
    written = EXAMPLES | set(re.findall(r"^# (\S+\.\w+)$", text, flags=re.MULTILINE))
    named = set(re.findall(rf"`((?:{'|'.join(TOP)})/[\w./-]*)`", text)) - written
    assert {name for name in named if not Path(name).exists()} == set()
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link}
    assert {link for link in links if not (page.parent / link).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_command_and_target_that_a_page_names_exists(page):
    blocks = re.findall(r"```bash\n(.*?)```", read(page), re.DOTALL)
    prose = re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)
    code = "\n".join(blocks + re.findall(r"`([^`]+)`", prose))
    assert set(re.findall(r"\bfer ([a-z]+)\b", code)) <= set(typer.main.get_command(app).commands)
    targets = set(re.findall(r"^([a-z]+):", Path("Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b", code)) <= targets


def test_the_readme_is_read_in_five_minutes():
    text = read(Path("README.md"))
    assert len(text.splitlines()) <= README_LINES
    assert text.index("## Results") < text.index("## Run it") < text.index("## Your own dataset")


def test_the_readme_s_figures_are_those_of_the_report_on_real_images():
    shown = read(Path("README.md")).partition("<!-- results:start -->")[2].partition("<!-- results:end -->")[0]
    figures, measured = (set(re.findall(r"\d+\.\d+", text)) for text in (shown, " ".join(map(read, REAL))))
    assert figures and figures <= measured


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=str)
def test_the_examples_in_docstrings_give_the_answers_that_they_show(path):
    module = importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.attempted and not result.failed


@pytest.mark.parametrize("name", REFERENCE)
def test_everything_on_the_reference_page_has_a_docstring_with_an_example(name):
    module, _, attribute = name.rpartition(".")
    assert ">>> " in (getattr(importlib.import_module(module), attribute).__doc__ or "")
