"""The small files through which both engines see changes of code and of parameters: `.fer/` below a study's root.

    code/<stage>[.<system or adapter>]     a digest of every module that decides what the stage makes
    params/<stage>[.<name>].json           the parameters that the stage uses, with every default in place

A rule that reads these reruns when a default in `fer/params/` or a layer in a helper module changes, and does not when
a comment, a citation or another system does. They are written when the Snakefile is parsed, and only where they differ;
in DVC one stage over `fer/` and `params/` makes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fer import params
from fer.closure import listing, sources
from fer.layout import Layout
from fer.params import Study
from fer.runs import study_protocols, study_runs
from fer.storage import write_text

# The stages of a dataset, and the keys of its parameters that some of them alone use; any other key counts for all.
OF_DATASET = ("acquire", "index", "align", "blocks", "split", "transfer")
ALONE: dict[str, set[str]] = {
    "title": {"blocks", "split"},  # it is written on the sheet and on the page
    "citation": set(),
    "obtain": set(),
    "adapter": {"acquire", "index"},
    "options": {"acquire", "index"},
    "subjects": {"split", "transfer"},
    "official_counts": {"acquire", "index", "split"},
    "source": {"acquire"},
    "unreadable": {"acquire"},
    "downloads": {"acquire"},
    "samples": {"acquire"},
    "alignment": {"align", "blocks"},
    "blocks": {"blocks"},
    "audit": {"split"},
}
AUGMENT = ("experiment", "dataset", "protocol", "modality", "views", "augment_before_split")


def write(study: Study) -> None:
    """Write those files of a study that differ from what is there, and remove those that it no longer has."""
    layout = Layout(Path(study.root))
    code_folder, parameters_folder = layout.inputs()
    digests = {layout.code(stage, plugin): (stage, plugin) for stage, plugin in stages(study)}
    # All code is parsed again only if some of it changed
    state, stamp = f"{sources()} {' '.join(map(str, digests))}\n", code_folder.with_name("code.sha256")
    if not (stamp.is_file() and stamp.read_text() == state and all(path.is_file() for path in digests)):
        update(code_folder, {path: listing(*name) for path, name in digests.items()})
        write_text(stamp, state)
    values = {layout.parameters(*name): readable(values) for name, values in parameters(study)}
    update(parameters_folder, values)


def update(folder: Path, wanted: dict[Path, str]) -> None:
    """Make `wanted` the content of a folder, without touching the files that are right."""
    for path, text in wanted.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
    for path in set(folder.glob("*")) - wanted.keys():
        path.unlink()


def readable(values: dict[str, Any]) -> str:
    """Return parameters as JSON text, their keys in the order of the models."""
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


def stages(study: Study) -> Iterator[tuple[str, str]]:
    """Yield every stage, with the module that a registry finds for it by name ("" where there is none)."""
    for stage in ("align", "blocks", "split", "augment", "figures", "tables", "page"):
        yield stage, ""
    for adapter in sorted({params.load_dataset(name).adapter or name for name in study_protocols(study)}):
        yield from (("acquire", adapter), ("index", adapter))
    for system in sorted({params.load_experiment(name).system for name in study.experiments}):
        yield from (("train", system), ("evaluate", system), ("explain", system))


def parameters(study: Study) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield stage (and dataset or experiment) with the parameters that it uses."""
    datasets = {name: params.load_dataset(name).model_dump(mode="json") for name in study_protocols(study)}
    experiments = {name: params.load_experiment(name) for name in study.experiments}
    for name, values in datasets.items():
        for stage in OF_DATASET:
            yield (stage, name), used_by(stage, values | study.dataset_overrides(name))
    for name, run in {run.name: run for run in study_runs(study)}.items():
        values = {key: value for key, value in run.resolved().items() if key not in ("fold", "seed")}
        yield ("train", name), values | {"of_dataset": used_by("train", datasets[run.experiment.dataset])}
        if run.recipe.offline:
            yield ("augment", name), {key: values[key] for key in AUGMENT} | {"offline": values["recipe"]["offline"]}
    yield ("explain",), params.load_explain(study.explain_overrides()).model_dump(mode="json")
    systems = sorted({experiment.system for experiment in experiments.values()})
    yield (
        ("report",),
        {
            "study": study.model_dump(mode="json"),
            "experiments": {name: experiment.model_dump(mode="json") for name, experiment in experiments.items()},
            "systems": {name: params.load_system(name).model_dump(mode="json") for name in systems},
            "datasets": datasets,
        },
    )


def used_by(stage: str, dataset: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of a dataset's parameters that a stage uses."""
    return {key: value for key, value in dataset.items() if stage in ALONE.get(key, {stage})}
