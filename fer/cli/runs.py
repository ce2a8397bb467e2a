"""From a command's options to a run."""

from __future__ import annotations

from pathlib import Path

import yaml

from fer.errors import FerError
from fer.layout import Layout


def settings(given: list[str] | None) -> dict:
    """Return the keys and values of `--set`; a dot leads into a mapping, as in augmentation.rotation=5."""
    from fer.params.system import deep_merge

    values: dict = {}
    for setting in given or []:
        name, equals, value = setting.partition("=")
        if not equals:
            raise FerError(f"--set {setting}: expected KEY=VALUE, such as epochs=5")
        try:
            change = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise FerError(f"--set {setting}: {value!r} is not a valid YAML value: {error.problem}") from error
        for key in reversed(name.split(".")):
            change = {key: change}
        values = deep_merge(values, change)
    return values


def resolve(
    experiment: str,
    fold: str,
    seed: int,
    changes: list[str] | None,
    threads: int,
    root: Path,
    bf16_on_cpu: bool = False,
):
    """Return the run that the options describe, checked before torch is imported."""
    from fer.runs import Run

    run = Run(experiment, fold, seed, settings(changes), threads, Layout(root), bf16_on_cpu)
    _ = run.system  # a wrong override is an error now
    return run


def trained(experiment: str, fold: str, seed: int, threads: int, root: Path):
    """Return the trained run that the options name, as its own folder describes it."""
    from fer.runs import TrainedRun

    layout = Layout(root)
    run = TrainedRun(layout.run(experiment, fold, seed), layout, threads)
    if not run.folder.exists():
        resolve(experiment, fold, seed, None, threads, root)  # a wrong name or fold is said to be one
    _ = run.parameters  # what is missing is an error now
    return run
