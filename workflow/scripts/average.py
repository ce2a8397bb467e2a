"""Average the weights of two runs of one training, and say how a test image is looked at: both chosen on validation.

    python workflow/scripts/average.py second/ first/ --share 0.3 --crop 44 --root studies/real --output averaged/

A network and one that it started from (`start_from`) lie in one basin of the loss, and their average often does better
than either (Wortsman et al., Model soups, ICML 2022, section 3). The test part is not opened. The new run records
the share, and the sha256 of the weights behind it under `data`; its history and environment are those of the first
folder named.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from fer import layout
from fer.errors import FerError
from fer.layout import Layout
from fer.networks import load_network
from fer.params.run import Averaged
from fer.runs import TrainedRun
from fer.storage import sha256, write_bytes, write_json
from fer.training.data import load_part
from fer.training.prediction import classify


def averaged(one: dict[str, Tensor], other: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return weights, `share` of them the other's; counters are those of the first."""
    return {
        name: torch.lerp(value, other[name], share).contiguous() if value.is_floating_point() else value.contiguous()
        for name, value in one.items()
    }


def average(folder: Path, earlier: Path, share: float, crop: int | None, output: Path) -> None:
    """Write the run of the averaged weights.

    Raises:
        FerError: the two runs are of different networks, or were trained on different parts.
    """
    network, parameters = load_network(folder)
    other, seen = load_network(earlier)
    same = ("system", "architecture", "input", "classes", "trained_on")
    if apart := [name for name in same if getattr(parameters, name) != getattr(seen, name)]:
        raise FerError(f"{folder} and {earlier} differ in {', '.join(apart)}: expected two runs of one training")
    weights = save(averaged(network.state_dict(), other.state_dict(), share))
    recorded = {
        "weights": sha256(weights),
        "recipe": parameters.recipe.override({"test_time_crop": crop}),
        "averaged": Averaged(run=str(earlier), share=share),
        "data": parameters.data | {"averaged_run": parameters.weights, "averaged_earlier": seen.weights},
    }
    write_bytes(output / layout.WEIGHTS, weights)
    write_json(output / layout.PARAMETERS, parameters.model_copy(update=recorded).dump())
    for name in (layout.HISTORY, layout.ENVIRONMENT):
        shutil.copy(folder / name, output / name)


def validation(run: TrainedRun) -> float:
    """Return the accuracy on the run's validation part, as its recipe has it classify."""
    network, parameters = load_network(run.folder)
    part = load_part(run.source, "val", torch.device("cpu"))
    return float((classify(network, part.images, parameters).argmax(1) == part.labels.numpy()).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a trained run")
    parser.add_argument("earlier", type=Path, help="folder of another, such as the one it started from")
    parser.add_argument("--share", type=float, default=0.5, help="share of the second's weights, 0 to 1")
    parser.add_argument("--crop", type=int, help="side of the crops at test time; default: the whole image")
    parser.add_argument("--output", type=Path, required=True, help="folder of the new run, not one of the two")
    parser.add_argument("--root", type=Path, default=Path(), help="folder of the study's artifacts")
    arguments = parser.parse_args()
    try:
        if not 0 <= arguments.share <= 1:
            raise FerError(f"--share {arguments.share}: expected a number from 0 to 1")
        if arguments.output.resolve() in (arguments.run.resolve(), arguments.earlier.resolve()):
            raise FerError(f"--output {arguments.output} is one of the two runs; expected a folder of its own")
        average(arguments.run, arguments.earlier, arguments.share, arguments.crop, arguments.output)
        accuracy = validation(TrainedRun(arguments.output, Layout(arguments.root)))
    except FerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"{arguments.output}: validation accuracy {accuracy:.2%}")


if __name__ == "__main__":
    main()
