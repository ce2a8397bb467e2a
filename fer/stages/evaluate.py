"""evaluate: from weights and the test part to predictions, metrics, confusion and cost, in the run's folder."""

from __future__ import annotations

import numpy as np
import pandas as pd
from safetensors.torch import load_file

from fer import layout, systems
from fer.devices import make_fabric
from fer.evaluation.cost import cost
from fer.evaluation.metrics import metrics
from fer.runs import Run
from fer.storage import atomic, require, write_json, write_text
from fer.training.data import load_part
from fer.training.loop import predict


def evaluate(run: Run, device: str = "auto") -> str:
    """Open the test part once and write what the trained network says of it; return a line for the terminal."""
    fabric = make_fabric(device, "32-true", run.threads)
    network = systems.build(run.experiment.system, run.system, len(run.dataset.classes))
    network.load_state_dict(load_file(require(run.folder / layout.WEIGHTS)))
    part = load_part(**run.data, fold=run.fold, part="test", input=run.system.input, device=fabric.device)
    probabilities = predict(network.to(fabric.device), part, run.system.input).softmax(1).cpu().numpy()
    labels = part.labels.cpu().numpy()
    classes = run.dataset.classes

    predictions = pd.DataFrame({"sample": part.samples, "label": labels, "predicted": probabilities.argmax(1)})
    for code, name in enumerate(classes):
        predictions[f"p_{name}"] = probabilities[:, code]
    with atomic(run.folder / layout.PREDICTIONS) as scratch:
        predictions.to_parquet(scratch, index=False)
    names = np.array(classes)
    pairs = pd.DataFrame({"actual": names[labels], "predicted": names[predictions["predicted"]]})
    write_text(run.folder / layout.CONFUSION, pairs.to_csv(index=False, lineterminator="\n"))
    figures = metrics(labels, probabilities.astype(np.float64), classes)
    write_json(run.folder / layout.METRICS, figures)
    write_json(run.folder / layout.COST, cost(network, run.system.input))
    low, high = figures["interval"]["accuracy"]
    return f"test accuracy {figures['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%}, n = {figures['n']:,})"
