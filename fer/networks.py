"""The network of a run, before and after training."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fer import layout, systems
from fer.errors import FerError
from fer.params import RunParameters, System
from fer.params.run import part_seen
from fer.runs import Run, TrainedRun, read_parameters, same_images, start_of
from fer.storage import file_sha256, require, whole


def untrained(run: Run, device: torch.device) -> nn.Module:
    """Return the network with the weights that training starts from, drawn from torch's current random state."""
    build = blank if run.recipe.start_from else systems.build
    network = build(run.experiment.system, run.system, len(run.dataset.classes))
    if "infrared_from" in run.predecessors:
        other = predecessor(run, "infrared_from")
        network.start_infrared(weights_of(other.folder, other.parameters))
    if run.recipe.start_from:
        require_unseen(run)
        start(network, run)
    return to_device(network, device)


def start(network: nn.Module, run: Run) -> None:
    """Give the network of `run` the weights that it starts from (`start_from` of its recipe).

    If the classes differ, the weights whose shape depends on the number of classes stay random.

    Raises:
        FerError: there is no trained run, or its weights are not those of such a network.
    """
    other = start_of(run)
    weights = weights_of(other.folder, other.parameters)
    if other.parameters.classes != run.dataset.classes:
        weights |= of_classes(network, run)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        differing = other.parameters.differences(run.parameters).items()
        trained = ", ".join(f"{name} {there}, here {here}" for name, (there, here) in differing)
        raise FerError(
            f"{run.name}: start_from: the weights in {other.folder} do not fit the network to train. "
            f"Trained with {trained or f'an older version of {other.parameters.system}'}: "
            f"{str(error).splitlines()[-1].strip()} Give a run whose network is the same, or no start_from"
        ) from error


def require_unseen(run: Run) -> None:
    """Refuse weights to start from that may have seen images which `run` is tested on.

    Raises:
        FerError: they have seen other parts of the dataset of `run`.
    """
    other = start_of(run)
    for dataset, part in other.parameters.trained_on.items():
        if not same_images(dataset, run.experiment.dataset):
            continue
        data = {name: file_sha256(run.data[name]) for name in ("index", "split")}
        own = part_seen(run.experiment.protocol, run.fold, data)
        if part != own:
            raise FerError(
                f"{run.name}: start_from: {other.folder} was trained on {dataset} ({part}), this run is on "
                f"{run.experiment.dataset} ({own}): its weights may have seen images that are tested here. "
                "Give a network that was trained on the same parts, or on another dataset"
            )


def of_classes(network: nn.Module, run: Run) -> dict[str, Tensor]:
    """Return those of the network's weights whose shape depends on the number of classes."""
    with torch.device("meta"):  # shapes alone
        wider = blank(run.experiment.system, run.system, len(run.dataset.classes) + 1).state_dict()
    return {name: value for name, value in network.state_dict().items() if value.shape != wider[name].shape}


def load_network(folder: str | Path, device: torch.device | str = "cpu") -> tuple[nn.Module, RunParameters]:
    """Return the trained network of a run's folder, on a device and ready for evaluation, and its parameters.

    The folder may lie anywhere: it needs `weights.safetensors` and `parameters.json`, and nothing in params/. The
    parameters say what the network takes (`input`, `alignment`, `views`, `modality`) and what its outputs mean
    (`classes`).

    Args:
        folder: of a run, such as runs/fer2013-dnn/0.0, or of a released model.
        device: of torch, such as "cpu" or "cuda:0".

    Returns:
        The network, which maps float32 images (n, channels, size, size), normalised as `parameters.input` says, to
        logits (n, classes); and the parameters.

    Raises:
        FerError: a file is missing or damaged, or the two do not belong together.

    Examples:
        >>> network, parameters = load_network("fer/pretrained/fer2013-fer_baseline")
        >>> seen = parameters.input
        >>> with torch.no_grad():
        ...     logits = network(torch.zeros(2, seen.channels, seen.size, seen.size))
        >>> logits.shape, parameters.classes[:2]
        (torch.Size([2, 7]), ['angry', 'disgust'])
    """
    folder = Path(folder)
    parameters = read_parameters(folder)
    network = blank(parameters.system, parameters, len(parameters.classes))
    try:
        network.load_state_dict(weights_of(folder, parameters))
    except RuntimeError as error:  # torch lists every layer that does not fit
        raise FerError(
            f"{folder / layout.WEIGHTS} does not fit the network that {layout.PARAMETERS} describes "
            f"({parameters.system} as it is built today): {str(error).splitlines()[-1].strip()}"
        ) from error
    return to_device(network, torch.device(device)).eval(), parameters


def blank(name: str, system: System | RunParameters, classes: int) -> nn.Module:
    """Return a system's network, to be filled: the weights of a pretrained backbone are not read or downloaded."""
    architecture = system.architecture
    if "weights" in architecture:
        system = system.model_copy(update={"architecture": architecture | {"weights": "random"}})
    return systems.build(name, system, classes)


def to_device(network: nn.Module, device: torch.device) -> nn.Module:
    """Return the network on the device, its channels last in memory: faster on GPUs in mixed precision and on CPUs.

    A step of `attentional_cnn` on 48×48 pixels took 62 instead of 104 ms of one AVX-512 core, one of `fer_baseline`
    481 instead of 591 ms (in bfloat16 567 instead of 649 ms).
    """
    return network.to(device, memory_format=torch.channels_last)


def predecessor(run: Run, key: str) -> TrainedRun:
    """Return the trained run that `run` needs for `key`, if it was trained on the data that `run` is trained on.

    Raises:
        FerError: it is not trained yet, or on other data: what it was trained on might be tested here.
    """
    trained = run.predecessors[key].as_trained()
    trained.require_same(trained.data)
    return trained


def weights_of(folder: Path, parameters: RunParameters) -> dict[str, Tensor]:
    """Return the weights that a run's training produced."""
    path = require(folder / layout.WEIGHTS)
    if parameters.weights not in (None, file_sha256(path)):  # not recorded by older versions
        raise FerError(f"{path} is not the file that {layout.PARAMETERS} beside it describes. Train again")
    with whole(path):
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(error) from error
