"""Commands that report a study or show it in MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fer import params
from fer.cli.options import ExperimentName, Root, StudyFile, announce
from fer.cli.runs import resolve
from fer.layout import Layout

app = typer.Typer()
reporting = typer.Typer(rich_markup_mode="markdown")
app.add_typer(reporting, name="report")


@app.command(epilog="Example: `MLFLOW_TRACKING_URI=http://127.0.0.1:5000 fer track`")
def track(
    study: StudyFile = Path("params/study.yaml"),
    drawn: Annotated[bool, typer.Option("--drawn", help="Also register networks trained on synthetic faces.")] = False,
) -> None:
    """Bring MLflow up to date with the study's runs, and register the best one of each dataset as a model."""
    from fer.exporting.champion import register
    from fer.runs import study_runs
    from fer.tracking.projection import project

    loaded = params.load_study(study)
    runs = study_runs(loaded)
    announce("track", loaded.name, lambda: f"{project(runs, Path(loaded.root))}; {register(runs, drawn)}")


@reporting.callback(invoke_without_command=True, epilog="Example: `fer report --study params/study.yaml`")
def report(context: typer.Context, study: StudyFile = Path("params/study.yaml")) -> None:
    """Make the tables, figures and pages of a study; with a command, only some of them."""
    if context.invoked_subcommand:
        return
    from fer.stages.report import report as work

    loaded = params.load_study(study)
    announce("report", loaded.name, lambda: work(loaded))


@reporting.command(epilog="Example: `fer report tables --study params/study.yaml`")
def tables(study: StudyFile = Path("params/study.yaml")) -> None:
    """Make the tables of a study, and reports/results.json, from which `fer report page` makes the page."""
    from fer.stages.tables import tables as work

    loaded = params.load_study(study)
    announce("report", f"{loaded.name} tables", lambda: work(loaded))


@reporting.command(epilog="Example: `fer report figures ckplus-attentional_cnn --fold 0 --fold 1`")
def figures(
    experiment: ExperimentName,
    fold: Annotated[list[str] | None, typer.Option(help="Fold to show. Repeatable; default: 0.")] = None,
    seed: Annotated[list[int] | None, typer.Option(min=0, help="Seed to show. Repeatable; default: 0.")] = None,
    root: Root = Path(),
) -> None:
    """Draw the figures of an experiment: confusion matrix, learning curves and reliability diagram."""
    runs = [resolve(experiment, each, number, None, 1, root) for each in fold or ["0"] for number in seed or [0]]
    from fer.reporting.results import Result
    from fer.stages.figures import figures as work

    announce("report", f"{experiment} figures", lambda: work(Result(runs), Layout(root)))


@reporting.command(epilog="Example: `fer report real --study params/studies/real.yaml`")
def real(
    study: StudyFile = Path("params/studies/real.yaml"),
    root: Annotated[
        Path | None, typer.Option(help="Folder that holds the study's artifacts, if it is not the study's own.")
    ] = None,
    into: Annotated[Path, typer.Option(help="Folder for the report and, below it, the predictions.")] = Path(
        "reports/real"
    ),
) -> None:
    """Keep the predictions of finished runs and of outside systems, and write the report on real faces."""
    loaded = params.load_study(study)
    from fer.stages.real import keep

    announce("report", f"{loaded.name} faces", lambda: keep(loaded, into, root))


@reporting.command(epilog="Example: `fer report page`")
def page(root: Root = Path()) -> None:
    """Make the page, the Markdown and the model cards from reports/results.json and the figures."""
    from fer.stages.page import page as work

    announce("report", "page", lambda: work(Layout(root)))
