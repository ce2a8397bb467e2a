"""Grad-CAM: Selvaraju et al., Grad-CAM: visual explanations from deep networks via gradient-based localization, ICCV
2017, eqs. 1 and 2, by captum; on the last map that still has places, one for each branch.

The paper takes the output of the last convolution. That is too literal for networks that do something with it before
the places are gone: the last convolution of a residual network is one summand of the last map (in `fer_baseline` only
the shortcut), and that of `local_global_resnet50` is what its local part adds. So it is the last map itself.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn
from torch.nn import functional

from fer.errors import FerError
from fer.explain.planes import branches_of
from fer.layers.spatial_transformer import warp

BATCH = 16  # a backward pass keeps every layer's output


class MapLayer(NamedTuple):
    """Where the last map of a branch is met, at the entrance of `module` or at its exit, and its height and width."""

    module: nn.Module
    entrance: bool
    places: tuple[int, int]


class Trace:
    """Hooks on every module of a branch that remember where the last map with more than one place passed."""

    def __init__(self, branch: nn.Module):
        self.last: MapLayer | None = None
        self.hooks = [module.register_forward_pre_hook(self.enter) for module in branch.modules()]
        self.hooks += [module.register_forward_hook(self.leave) for module in branch.modules()]

    def enter(self, module: nn.Module, values: tuple) -> None:
        """Note what a module is given, before it computes."""
        self.note(module, values[0] if values else None, entrance=True)

    def leave(self, module: nn.Module, _: tuple, value: object) -> None:
        """Note what a module returns."""
        self.note(module, value, entrance=False)

    def note(self, module: nn.Module, value: object, entrance: bool) -> None:
        """Remember the module if the value is a map (batch, channels, height, width) larger than one place."""
        if isinstance(value, Tensor) and value.ndim == 4 and min(value.shape[2:]) > 1:
            self.last = MapLayer(module, entrance, (value.shape[2], value.shape[3]))

    def remove(self) -> None:
        """Take the hooks off the branch again."""
        for hook in self.hooks:
            hook.remove()


def last_map_layers(network: nn.Module, image: Tensor) -> dict[str, MapLayer]:
    """Return, for each plane, where the last map with more than one place passes, found by one forward pass.

    Args:
        image: float (1, planes·channels, side, side).

    Raises:
        FerError: no layer of a branch meets such a map.
    """
    traces = {plane: Trace(branch) for plane, branch in branches_of(network).items()}
    try:
        with torch.inference_mode():
            network(image)
    finally:
        for trace in traces.values():
            trace.remove()
    if missing := [plane for plane, trace in traces.items() if trace.last is None]:
        raise FerError(
            f"{type(network).__name__} has no map with more than one place for {', '.join(missing)}: "
            "Grad-CAM needs a layer that keeps places apart"
        )
    return {plane: trace.last for plane, trace in traces.items()}


def gradcam(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return Grad-CAM for each image's true class, float32 (n, planes, side, side), at least 0.

    Maps are upsampled bilinearly to the image. Where a spatial transformer warps what the layer saw, they are warped
    back: a pixel of the map speaks of the same pixel of the image.

    Args:
        images: float (n, planes·channels, side, side).
        labels: int64 (n,), on the images' device.
    """
    layers, branches = last_map_layers(network, images[:1]), branches_of(network)
    side, batches = images.shape[-1], []
    for some, classes in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        maps = []
        for (plane, layer), own in zip(layers.items(), some.chunk(len(layers), 1), strict=True):
            with torch.backends.cudnn.flags(enabled=False):  # its LSTM has no backward pass in evaluation mode
                method = LayerGradCam(network, layer.module)
                cam = method.attribute(
                    some, classes, attribute_to_layer_input=layer.entrance, relu_attributions=True
                ).detach()
            cam = functional.interpolate(cam, (side, side), mode="bilinear")
            maps.append(in_the_image(branches[plane], own, cam))
        batches.append(torch.cat(maps, 1).float().cpu())
    return torch.cat(batches)


@torch.inference_mode()
def in_the_image(branch: nn.Module, images: Tensor, maps: Tensor) -> Tensor:
    """Return maps of what a spatial transformer made of the images as maps of the images themselves (same shape).

    A branch without `localisation` has none. What the transformer's crop left out is 0.
    """
    if not hasattr(branch, "localisation"):
        return maps
    theta = branch.localisation(images).view(-1, 2, 3)
    back = torch.linalg.pinv(theta[:, :, :2])  # the inverse, and defined even where the crop collapsed to a line
    shift = -back @ theta[:, :, 2:]
    return warp(maps, torch.cat([back, shift], 2))
