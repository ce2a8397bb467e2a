"""A trained network as an ONNX graph, with what comes before and after it inside."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fer.errors import FerError
from fer.machine import EXPORT_EXTRA
from fer.params import Input, Recipe, RunParameters
from fer.recognition.exported import IMAGES, PROBABILITIES
from fer.training.prediction import probabilities_of
from fer.training.views import views

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18


class Whole(nn.Module):
    """From uint8 images (n, planes × channels, size, size) to float32 probabilities (n, classes).

    Does what `fer.training.prediction.predict` does, in one pass: all views of an image go through together.
    """

    def __init__(self, network: nn.Module, input_spec: Input, recipe: Recipe):
        super().__init__()
        self.network, self.recipe = network, recipe
        planes = planes_of(network)
        for name in ("mean", "std"):
            value = getattr(input_spec, name)
            values = value if isinstance(value, list) else [value] * input_spec.channels
            self.register_buffer(name, torch.tensor(values * planes, dtype=torch.float32)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        values = (images.to(torch.float32) * (1 / 255) - self.mean) / self.std
        if self.recipe.test_time_views == 1:
            return probabilities_of(self.network, self.network(values))
        every = probabilities_of(self.network, self.network(torch.cat(views(values, self.recipe))))
        return every.unflatten(0, (self.recipe.test_time_views, -1)).mean(0)


def planes_of(network: nn.Module) -> int:
    """Return how many pictures of a sample a network takes."""
    return getattr(network, "planes", 1)


def images_shape(network: nn.Module, input_spec: Input) -> tuple[int, int, int]:
    """Return the shape of one sample's images: planes × channels, size, size."""
    return planes_of(network) * input_spec.channels, input_spec.size, input_spec.size


def to_onnx(network: nn.Module, parameters: RunParameters) -> ModelProto:
    """Return the network of a run as an ONNX model with its weights inside, for any number of images at once.

    Raises:
        FerError: onnx or onnxscript is not installed, or the run classifies with dropout on.
    """
    if parameters.recipe.dropout_at_evaluation:
        raise FerError(
            "the run keeps dropout on when it classifies (dropout_at_evaluation), so its answers are random: it is "
            "not exported"
        )
    whole = Whole(network, parameters.input, parameters.recipe).eval()
    example = torch.zeros(2, *images_shape(network, parameters.input), dtype=torch.uint8)
    try:
        with quiet():
            program = torch.onnx.export(
                whole,
                (example,),
                input_names=[IMAGES],
                output_names=[PROBABILITIES],
                dynamic_shapes=({0: torch.export.Dim("n")},),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except ImportError as error:
        raise FerError(f"{error.name or error} is not installed, and `fer export` needs it: {EXPORT_EXTRA}") from error
    return program.model_proto


@contextlib.contextmanager
def quiet():
    """Keep the exporter's remarks on its own progress from the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
