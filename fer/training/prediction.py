"""How a network classifies a part, in validation and in evaluation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fer.params import Input, Recipe, RunParameters
from fer.training.data import normalise
from fer.training.views import views


@torch.inference_mode()
def predict(network: nn.Module, images: Tensor, input_spec: Input, recipe: Recipe, batch_size: int = 256) -> Tensor:
    """Return the answers (n, classes) with dropout off and batch norm frozen, as the recipe has it classify.

    They are logits, or the probabilities of a network that ends in a softmax. If the recipe has several views of
    an image (`fer.training.views`), they are (the logarithms of) probabilities averaged over the views.

    Args:
        images: uint8 (n, planes × channels, size, size), on the network's device.
    """
    network.eval()
    if recipe.dropout_at_evaluation:
        torch.manual_seed(0)
        for layer in network.modules():
            layer.training = isinstance(layer, nn.Dropout)
    answers = []
    for some in images.split(batch_size):
        given = [network(view).float() for view in views(normalise(some, input_spec), recipe)]
        answer = given[0]
        if len(given) > 1:
            mean = torch.stack([probabilities_of(network, each) for each in given]).mean(0)
            answer = mean if ends_in_softmax(network) else mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
        answers.append(answer)
    return torch.cat(answers)


def classify(network: nn.Module, images: Tensor, parameters: RunParameters) -> np.ndarray:
    """Return the probabilities of images, as `predict` takes them, by a run's recipe: float32 (n, classes)."""
    answers = predict(network, images, parameters.input, parameters.recipe)
    return probabilities_of(network, answers).cpu().numpy()


def probabilities_of(network: nn.Module, answers: Tensor) -> Tensor:
    """Return a network's outputs (n, classes) as probabilities (n, classes)."""
    return answers if ends_in_softmax(network) else answers.softmax(1)


def ends_in_softmax(network: nn.Module) -> bool:
    """Return whether a network's outputs are probabilities already, a defect of some publications (`fer.systems`)."""
    return bool(getattr(network, "softmax", False))
