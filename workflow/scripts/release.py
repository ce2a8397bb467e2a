"""Make a trained run a released model: half-precision weights, measured as they are released, in fer/pretrained/.

    python workflow/scripts/release.py studies/real/runs/fer2013-fer_baseline/0.0 --root studies/real

What is released is what is measured: the test part is classified by the rounded weights, from each image and, where
the recipe says so, its mirror image; not from several crops. `about.json` holds the figures, `parameters.json` the
sha256 of the weights and of the data they were trained on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import save

from fer import layout, params
from fer.errors import FerError
from fer.exporting.export import tested
from fer.layout import Layout
from fer.networks import load_network
from fer.recognition.about import ABOUT
from fer.recognition.recognizer import PRETRAINED
from fer.runs import TrainedRun
from fer.storage import read_csv, read_json, require, sha256, write_bytes, write_json
from fer.training.data import load_part
from fer.training.prediction import classify


def release(run: TrainedRun, name: str) -> dict:
    """Write the released model; return what `about.json` says."""
    run.require_same(run.data)
    require(run.layout.audit(run.parameters.dataset, run.parameters.protocol))
    network, parameters = load_network(run.folder)
    weights = {key: rounded(value) for key, value in network.state_dict().items()}
    data = save(weights)
    dataset = params.load_dataset(parameters.dataset)
    target = PRETRAINED / name
    write_bytes(target / layout.WEIGHTS, data)
    recorded = parameters.model_copy(
        update={
            "weights": sha256(data),
            "alignment": parameters.alignment or dataset.alignment,
            # A face before a camera is classified in a fifth of the time without them
            "recipe": parameters.recipe.model_copy(update={"test_time_crop": None}),
        }
    )
    write_json(target / layout.PARAMETERS, recorded.dump())

    network, parameters = load_network(target)
    part = load_part(run.source, "test")
    correct = classify(network, part.images, parameters).argmax(1) == part.labels.numpy()
    about = {
        "name": name,
        "system": params.load_system(parameters.system).title,
        "dataset": dataset.title,
        "synthetic": read_json(run.layout.counts(parameters.dataset))["synthetic"],
        **tested(run, correct, part.samples),
        "epochs": len(read_csv(run.folder / layout.HISTORY)),
        "notes": [f"Dataset: {dataset.citation}.", "Measured as released: weights in half precision."],
    }
    write_json(target / ABOUT, about)
    return about


def rounded(value: torch.Tensor) -> torch.Tensor:
    """Return a tensor in half precision; counters stay whole numbers."""
    return value.half().contiguous() if value.is_floating_point() else value.contiguous()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the trained run")
    parser.add_argument("--root", type=Path, default=Path(), help="folder of the study's artifacts")
    parser.add_argument("--name", help="what the model is called; default: its experiment")
    arguments = parser.parse_args()
    try:
        run = TrainedRun(arguments.run, Layout(arguments.root))
        about = release(run, arguments.name or run.name)
    except FerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(
        f"{about['name']}: test accuracy {about['accuracy']:.2%} (n = {about['n']:,}), in {PRETRAINED / about['name']}"
    )


if __name__ == "__main__":
    main()
