"""Whether the network that a training starts from fits: checked before data are read or any job runs.

torch is imported only where the two networks may differ in more than their classes.
"""

from __future__ import annotations

from pathlib import Path

from fer.layout import HISTORY, METRICS, PARAMETERS, SUMMARY, WEIGHTS
from fer.params import Study
from fer.runs import Run, start_of, study_runs


def require_start(run: Run) -> None:
    """Refuse weights to start from (`start_from` of the recipe of `run`) that its network cannot take.

    Raises:
        FerError: the folder has no trained run, or one of another system or with weights of other shapes.
    """
    if start_of(run).parameters.differences(run.parameters):
        from fer.networks import blank, start

        start(blank(run.experiment.system, run.system, len(run.dataset.classes)), run)


def require_starts(study: Study) -> None:
    """Refuse a study with an experiment that starts from weights which its network cannot take.

    Weights that are not there yet, or that the study itself makes, are left to its trainings: the folder may not exist,
    or hold other files of its run, where the artifacts of another study were not all fetched.
    """
    runs = study_runs(study)
    own = {run.folder.resolve() for run in runs}
    for run in {run.name: run for run in runs}.values():
        start = run.recipe.start_from
        if start and Path(start).exists() and Path(start).resolve() not in own and not unfetched(Path(start)):
            require_start(run)


def unfetched(folder: Path) -> bool:
    """Return whether a run's folder lacks its weights, but not all that lies beside them."""
    beside = (HISTORY, METRICS, PARAMETERS, SUMMARY)
    return not (folder / WEIGHTS).exists() and any((folder / name).exists() for name in beside)
