"""The best run of each dataset as a registered model of MLflow, ready to be served."""

from __future__ import annotations

import importlib.util
import logging
import tempfile
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer import layout
from fer.checkout import owner
from fer.errors import FerError
from fer.machine import EXPORT_EXTRA
from fer.runs import Run
from fer.storage import file_sha256, read_csv
from fer.tracking import entries
from fer.tracking.address import store_uri
from fer.tracking.entries import KEY, OWNER, ROOT
from fer.tracking.store import connect, experiment_id, failing_in_one_line
from fer.wording import counted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from fer.exporting.export import Exported

ALIAS = "champion"
WEIGHTS, VALIDATED, DRAWN = "fer.weights", "fer.val_accuracy", "fer.drawn"  # tags of a version
PACKAGES = ("onnx", "onnxruntime", "onnxscript")


def register(runs: list[Run], drawn: bool = False, threads: int = 1) -> str:
    """Make the best sound run of each dataset the champion of the model named after the dataset.

    The best one is that of the highest validation accuracy. A champion of another checkout or study stays unless it is
    beaten; one that was trained on real faces is never beaten by a network of drawn ones. A run that is already
    champion is left as it is. The runs must have been entered (`fer track`).

    Args:
        drawn: register networks trained on synthetic faces, too, whose answers on real faces mean nothing.

    Returns:
        A line for the terminal.

    Raises:
        FerError: MLflow failed.
    """
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        return f"no model was registered ({', '.join(missing)} not installed): {EXPORT_EXTRA}"
    sound = [run for run in runs if run.experiment.kind == "sound" and (drawn or not entries.is_drawn(run))]
    if not sound:
        return "no model to register: the faces are drawn (`fer track --drawn` registers their networks all the same)"
    client, made, refused = connect(retries=2), [], []
    sound = sorted(sound, key=lambda run: run.experiment.dataset)
    with failing_in_one_line():
        for dataset, group in groupby(sound, lambda run: run.experiment.dataset):
            best = max(group, key=validation_accuracy)
            if wins(best, champion(client, dataset)):
                from fer.exporting.export import export  # imports torch

                try:
                    exported = export(best.as_trained(), threads=threads)
                except FerError as error:  # the runs are entered all the same
                    refused.append(f"; {dataset} not registered: {error}")
                    continue
                enter(client, best, exported)
                made.append(dataset)
    line = f"{counted(len(made), 'model')} registered as {ALIAS}: {', '.join(made)}" if made else "no model changed"
    return line + "".join(refused)


def validation_accuracy(run: Run) -> float:
    """Return the validation accuracy of the epoch whose weights a run kept."""
    history = read_csv(run.folder / layout.HISTORY)["val_accuracy"]
    return float(history.iloc[-1] if run.recipe.keep == "last" else history.max())


def champion(client: MlflowClient, name: str) -> ModelVersion | None:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, ALIAS)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # no model, or no such alias
            return None
        raise


def version_tags(run: Run) -> dict[str, str]:
    return {
        KEY: entries.key(run),
        OWNER: owner().name,
        ROOT: str(run.layout.root),
        WEIGHTS: file_sha256(run.folder / layout.WEIGHTS),
        VALIDATED: f"{validation_accuracy(run):.6f}",
        DRAWN: str(entries.is_drawn(run)),
    }


def wins(run: Run, current: ModelVersion | None) -> bool:
    """Say whether a run takes the place of the current champion."""
    if current is None or OWNER not in current.tags:
        return True
    mine = version_tags(run)
    if all(current.tags[name] == mine[name] for name in (OWNER, ROOT)):
        return current.tags[WEIGHTS] != mine[WEIGHTS]
    return rank(mine) > rank(current.tags)


def rank(tags: dict[str, str]) -> tuple[bool, float]:
    return tags[DRAWN] == "False", float(tags[VALIDATED])


def enter(client: MlflowClient, run: Run, exported: Exported) -> None:
    """Log a run's network as a model of ONNX's flavour, and make it the champion."""
    import mlflow
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    mlflow.set_tracking_uri(store_uri())  # where the registry looks for models:/…, whatever client asks it
    dataset, tags = run.experiment.dataset, version_tags(run)
    experiment = experiment_id(client, dataset)
    same = {name: tags[name] for name in (KEY, OWNER, ROOT)} | {entries.STATE: "current"}
    (entry, *_) = client.search_runs([experiment], entries.having(same))
    run_id = entry.info.run_id
    model = client.create_logged_model(
        experiment,
        name=run.experiment.system,
        source_run_id=run_id,
        tags=tags,
        params={"input": str(run.system.input.size), "precision": "fp32"},
        model_type="ONNX",
    )
    with tempfile.TemporaryDirectory() as folder:
        save(exported, Path(folder) / "model", model.model_id, run_id)
        client.log_model_artifacts(model.model_id, str(Path(folder) / "model"))
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    ensure_registered(client, dataset, run.dataset.title)
    about = str(exported.description.about)
    made = client.create_model_version(
        dataset, f"models:/{model.model_id}", run_id, tags=tags, description=about, model_id=model.model_id
    )
    client.set_registered_model_alias(dataset, ALIAS, made.version)


def ensure_registered(client: MlflowClient, name: str, title: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=f"Expressions of faces, trained on {title}")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def save(exported: Exported, folder: Path, model_id: str, run_id: str) -> None:
    """Write what MLflow keeps of a model: the ONNX file, its signature and an example of its input."""
    import mlflow.onnx
    import onnx
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    from fer.recognition.exported import IMAGES, PROBABILITIES

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    description = exported.description
    example = exported.on.images[:1]
    taken = TensorSpec(np.dtype(np.uint8), (-1, *example.shape[1:]), IMAGES)
    given = TensorSpec(np.dtype(np.float32), (-1, len(description.classes)), PROBABILITIES)
    mlflow.onnx.save_model(
        onnx.load_from_string(exported.data),
        str(folder),
        mlflow_model=Model(model_uuid=model_id, model_id=model_id, run_id=run_id),
        signature=ModelSignature(Schema([taken]), Schema([given])),
        input_example={IMAGES: example},
        pip_requirements=[f"{name}=={version(name)}" for name in ("onnx", "onnxruntime", "numpy")],
        metadata=description.metadata(),
        save_as_external_data=False,
    )
