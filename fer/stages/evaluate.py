"""evaluate: from weights and the test part to predictions, metrics, confusion and cost, in the run's folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from lightning_fabric import Fabric
from safetensors.torch import load_file
from torch import nn

from fer import layout, params, protocols, systems
from fer.devices import make_fabric
from fer.errors import FerError
from fer.evaluation.cost import cost
from fer.evaluation.metrics import metrics
from fer.evaluation.transfer import shared_expressions, shared_labels, transfer
from fer.runs import Run
from fer.storage import atomic, require, write_json, write_text
from fer.training.data import Part, load_part
from fer.training.loop import predict


def evaluate(run: Run, device: str = "auto") -> str:
    """Open the test part once and write what the trained network says of it; return a line for the terminal."""
    fabric = make_fabric(device, "32-true", run.threads)
    network = trained(run, fabric)
    where = {"modality": run.experiment.modality, "fold": run.fold, "part": "test"}
    part = load_part(**run.data, **where, input=run.system.input, device=fabric.device)
    classes = run.dataset.classes
    labels, probabilities = part.labels.cpu().numpy(), probabilities_of(network, part, run)

    predictions = write_predictions(run.folder / layout.PREDICTIONS, part.samples, labels, probabilities, classes)
    names = np.array(classes)
    pairs = pd.DataFrame({"actual": names[labels], "predicted": names[predictions["predicted"]]})
    write_text(run.folder / layout.CONFUSION, pairs.to_csv(index=False, lineterminator="\n"))
    figures = metrics(labels, probabilities.astype(np.float64), classes)
    write_json(run.folder / layout.METRICS, figures)
    write_json(run.folder / layout.COST, cost(network, run.system.input))
    return accuracy_line("test accuracy", figures)


def evaluate_on(run: Run, dataset: str, protocol: str, contempt: bool = False, device: str = "auto") -> str:
    """Test a trained network on the test samples of another dataset, by the expressions that both have.

    Samples of other expressions are left out and counted. Writes `on/<dataset>.<protocol>.*` in the run's folder.
    """
    other = params.load_dataset(dataset)
    shared = shared_expressions(run.dataset.classes, other.classes, contempt)
    fabric = make_fabric(device, "32-true", run.threads)
    network = trained(run, fabric)
    files = {
        "crops": run.layout.crops(dataset),
        "index": run.layout.index(dataset),
        "split": run.layout.split(dataset, protocol),
    }
    tested = []
    for fold in protocols.folds(protocol, other):
        where = {"modality": run.experiment.modality, "fold": fold, "part": "test"}
        part = load_part(**files, **where, input=run.system.input, device=fabric.device)
        tested.append((part.samples, part.labels.cpu().numpy(), probabilities_of(network, part, run)))
    samples, labels, probabilities = (np.concatenate(column) for column in zip(*tested, strict=True))
    labels = shared_labels(labels, other.classes, shared)
    kept = labels >= 0
    if not kept.any():
        raise FerError(f"no test sample of {dataset} ({protocol}) shows one of {', '.join(shared)}")
    probabilities = transfer(probabilities, run.dataset.classes, shared)[kept]
    target = run.folder / "on" / f"{dataset}.{protocol}"
    write_predictions(Path(f"{target}.{layout.PREDICTIONS}"), samples[kept], labels[kept], probabilities, shared)
    figures = metrics(labels[kept], probabilities, shared) | {"classes": shared, "left_out": int((~kept).sum())}
    write_json(Path(f"{target}.{layout.METRICS}"), figures)
    return accuracy_line(f"accuracy on {dataset} over {len(shared)} shared expressions", figures)


def trained(run: Run, fabric: Fabric) -> nn.Module:
    """Return the run's network with its weights, on the device."""
    network = systems.build(run.experiment.system, run.system, len(run.dataset.classes))
    network.load_state_dict(load_file(require(run.folder / layout.WEIGHTS)))
    return network.to(fabric.device)


def probabilities_of(network: nn.Module, part: Part, run: Run) -> np.ndarray:
    """Return float32 (n, classes)."""
    return predict(network, part, run.system.input).softmax(1).cpu().numpy()


def write_predictions(
    target: Path, samples: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, classes: list[str]
) -> pd.DataFrame:
    """Write and return one row a sample: label, predicted class and every probability."""
    predictions = pd.DataFrame({"sample": samples, "label": labels, "predicted": probabilities.argmax(1)})
    for code, name in enumerate(classes):
        predictions[f"p_{name}"] = probabilities[:, code]
    with atomic(target) as scratch:
        predictions.to_parquet(scratch, index=False)
    return predictions


def accuracy_line(what: str, figures: dict) -> str:
    low, high = figures["interval"]["accuracy"]
    return f"{what} {figures['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%}, n = {figures['n']:,})"
