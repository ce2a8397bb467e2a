"""How a network classifies a part, in validation and in evaluation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fer.params import Input, Recipe
from fer.training.data import Part, normalise


@torch.inference_mode()
def predict(network: nn.Module, part: Part, input_spec: Input, recipe: Recipe, batch_size: int = 256) -> Tensor:
    """Return the answers (n, classes) to a part with dropout off and batch norm frozen, as the recipe has it classify.

    They are logits, or the probabilities of a network that ends in a softmax. With `test_time_flip` they are (the
    logarithms of) probabilities averaged over each image and its mirror image.
    """
    network.eval()
    if recipe.dropout_at_evaluation:
        torch.manual_seed(0)
        for layer in network.modules():
            layer.training = isinstance(layer, nn.Dropout)
    answers = []
    for images in part.images.split(batch_size):
        images = normalise(images, input_spec)
        answer = network(images).float()
        if recipe.test_time_flip:
            mirrored = network(images.flip(-1)).float()
            mean = (probabilities_of(network, answer) + probabilities_of(network, mirrored)).div(2)
            answer = mean if ends_in_softmax(network) else mean.log()
        answers.append(answer)
    return torch.cat(answers)


def probabilities_of(network: nn.Module, answers: Tensor) -> Tensor:
    """Return a network's outputs (n, classes) as probabilities (n, classes)."""
    return answers if ends_in_softmax(network) else answers.softmax(1)


def ends_in_softmax(network: nn.Module) -> bool:
    """Return whether a network's outputs are probabilities already, a defect of some publications (`fer.systems`)."""
    return bool(getattr(network, "softmax", False))
