"""The views of an image that are classified at test time."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate

from fer.params import Recipe


def views(images: Tensor, recipe: Recipe) -> list[Tensor]:
    """Return the `recipe.test_time_views` views of images, float (n, channels, side, side), each of the same shape.

    `test_time_crop` gives the four corners and the middle, enlarged to the whole; `test_time_flip` adds the mirror
    image of each view. Both together are the "ten crops" of Krizhevsky et al., NIPS 2012, section 4.1.
    """
    shown = [images]
    if crop := recipe.test_time_crop:
        side = images.shape[-1]
        end, middle = side - crop, (side - crop) // 2
        shown = [
            interpolate(images[..., top : top + crop, left : left + crop], (side, side), mode="bilinear")
            for top, left in ((0, 0), (0, end), (end, 0), (end, end), (middle, middle))
        ]
    return [*shown, *(view.flip(-1) for view in shown)] if recipe.test_time_flip else shown
