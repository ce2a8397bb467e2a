"""How a network classifies a part: what validation during training and the evaluation after it both do."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fer.params import Input, Recipe
from fer.training.data import Part, normalise


@torch.inference_mode()
def predict(network: nn.Module, part: Part, input: Input, recipe: Recipe, batch_size: int = 256) -> Tensor:
    """Return the logits (n, classes) of a part with dropout off and batch norm frozen, as the recipe has it classify.

    With `test_time_flip` they are the logarithms of probabilities averaged over each image and its mirror image.
    """
    network.eval()
    if recipe.dropout_at_evaluation:
        torch.manual_seed(0)
        for layer in network.modules():
            layer.training = isinstance(layer, nn.Dropout)
    logits = []
    for images in part.images.split(batch_size):
        images = normalise(images, input)
        answer = network(images).float()
        if recipe.test_time_flip:
            mirrored = network(images.flip(-1)).float()
            answer = (answer.softmax(1) + mirrored.softmax(1)).div(2).log()
        logits.append(answer)
    return torch.cat(logits)
