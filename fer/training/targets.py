"""Training targets that are more than one class per image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fer.params import Input, Recipe
from fer.training.data import standardise
from fer.training.prediction import probabilities_of

Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Teacher = Callable[[Tensor], Tensor]


def mixer(recipe: Recipe, classes: int) -> Mix | None:
    """Return what mixes the images (batch, …) and int labels (batch,) of a batch, or None if the recipe has no mixing.

    Mixup (Zhang et al., ICLR 2018) and CutMix (Yun et al., ICCV 2019); where the recipe has both, one of them is drawn
    for each batch. Labels come back as distributions (batch, classes).
    """
    if not (recipe.mixup or recipe.cutmix):
        return None
    from torchvision.transforms import v2 as transforms  # imports torch's compiler: seconds that other recipes save

    kinds = {transforms.MixUp: recipe.mixup, transforms.CutMix: recipe.cutmix}
    chosen = [kind(alpha=alpha, num_classes=classes) for kind, alpha in kinds.items() if alpha]
    return transforms.RandomChoice(chosen)


def teacher(network: nn.Module, input_spec: Input) -> Teacher:
    """Return what gives the label distributions (batch, classes) of float images in [0, 1].

    Label distribution training (Zhao, Liu, Zhou, AAAI 2021, section 3.4): the target of an image, augmented as for
    the student, is the probabilities given by a network that was trained before.
    """

    @torch.no_grad()
    def distributions(images: Tensor) -> Tensor:
        return probabilities_of(network, network(standardise(images.clone(), input_spec)))

    return distributions
