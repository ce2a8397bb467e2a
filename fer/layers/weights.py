"""The weights a torchvision backbone starts from: random, torchvision's own for ImageNet, or those of a local file.

A file holds the state of the whole torchvision network, tensors by name; its classifier (`fc`) is left out. Files are
read without unpickling anything but tensors.
"""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from fer.errors import FerError
from fer.storage import file_sha256

logger = logging.getLogger("fer")


def load_backbone(network: nn.Module, weights: str, imagenet: WeightsEnum) -> None:
    """Fill a torchvision network, its `fc` already replaced, with the weights to start from.

    Args:
        weights: "random" (the network stays as it is), "imagenet", or the path of a .safetensors, .pth or .pt file.
        imagenet: the torchvision weights that "imagenet" stands for.

    Raises:
        FerError: the weights cannot be loaded or downloaded, or belong to another network.
    """
    if weights == "random":
        return
    if weights == "imagenet":
        state, source = download(imagenet), imagenet.url
    else:
        state, source = read_weights(Path(weights)), weights
        logger.info("backbone from %s (sha256 %s)", source, file_sha256(Path(weights)))
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise FerError(f"{source} does not hold the weights of this backbone: {brief(error)}") from error


def download(imagenet: WeightsEnum) -> Mapping[str, Tensor]:
    """Return torchvision's weights, from its cache or else from where it publishes them."""
    name = imagenet.url.rpartition("/")[2]
    try:
        return imagenet.get_state_dict(progress=False, check_hash=True, weights_only=True, map_location="cpu")
    except Exception as error:  # no connection, or a damaged file, of which torch may say anything
        cache = Path(torch.hub.get_dir()) / "checkpoints"
        raise FerError(
            f"weights: imagenet: {name} is available neither from {cache} nor from {imagenet.url} ({brief(error)}). "
            f"Give the path of the file as `weights`, or set `weights: random`."
        ) from error


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a .safetensors, .pth or .pt file by name."""
    if not path.is_file():
        raise FerError(f"weights: {str(path)!r} is neither random, nor imagenet, nor an existing file")
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise FerError(f"weights: {path}: expected a file that ends in .safetensors, .pth or .pt")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # on a damaged file torch's reader fails with whatever it stumbles over
        raise FerError(f"weights: {path} cannot be read as a file of tensors only: {brief(error)}") from error
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise FerError(f"weights: {path} does not hold tensors by name (a state_dict), but a {type(state).__name__}")
    return state


def brief(error: Exception) -> str:
    """Return the type and message of an error, cut to 300 characters."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", 300)
