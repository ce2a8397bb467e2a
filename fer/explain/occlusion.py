"""Occlusion: hide a square of the image, classify again, and write what changed where the square was.

The method of Minaee, Minaei, Abdolrashidi (Deep-Emotion, Sensors 21(9):3046, 2021, Figs. 11 and 12), after Zeiler and
Fergus (Visualizing and understanding convolutional networks, ECCV 2014, section 4.2). The paper gives neither the size
of its squares nor their stride.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fer.explain.passes import altered_probabilities, probabilities


def starts(side: int, window: int, stride: int) -> list[int]:
    """Return where windows begin along one axis: every `stride` pixels, the last one flush with the edge."""
    return [*range(0, side - window, stride), side - window]


def coverage(side: int, fraction: float, stride: float) -> Tensor:
    """Return which pixels of one axis each position of the window covers, bool (positions, side).

    Args:
        fraction: the window's side as a fraction of the image's.
        stride: the step as a fraction of the window.
    """
    window = min(side, max(1, round(fraction * side)))
    begin = torch.tensor(starts(side, window, max(1, round(stride * window))))[:, None]
    pixels = torch.arange(side)
    return (begin <= pixels) & (pixels < begin + window)


def count_windows(side: int, fractions: list[float], stride: float) -> int:
    """Return how many copies of an image `occlusion` classifies for each of its planes."""
    return sum(len(coverage(side, fraction, stride)) ** 2 for fraction in fractions)


def occlusion(
    network: nn.Module,
    image: Tensor,
    label: int,
    planes: int,
    fractions: list[float],
    stride: float,
    value: float,
) -> tuple[Tensor, Tensor]:
    """Return what hiding each place of each plane does to the answer, averaged over the sizes of the window.

    Args:
        image: float (planes·channels, side, side) as the network sees it.
        label: the true class.
        value: of the hidden pixels, in the network's own units; its zero is 0.

    Returns:
        Two maps, float32 (planes, side, side), over the windows that cover a pixel: the share for which the prediction
        is wrong, in [0, 1], which says something only of an image that is classified correctly when nothing is hidden;
        and the mean drop of the true class's probability, in [-1, 1].
    """
    side = image.shape[-1]
    intact = probabilities(network, image[None])[0, label]
    wrong, drop = torch.zeros(2, planes, side, side)
    for fraction in fractions:
        axis = coverage(side, fraction, stride)
        rows = axis.repeat_interleave(len(axis), 0).float()  # every position down with every position across
        columns = axis.repeat(len(axis), 1).float()
        windows = rows[:, :, None] * columns[:, None, :] > 0
        for plane in range(planes):
            masks = torch.zeros(len(windows), planes, side, side, dtype=torch.bool)
            masks[:, plane] = windows
            answers = altered_probabilities(network, image, masks, image.new_tensor(value))
            mistaken = (answers.argmax(1) != label).float()
            wrong[plane] += mean_over_windows(mistaken, rows, columns) / len(fractions)
            drop[plane] += mean_over_windows(intact - answers[:, label], rows, columns) / len(fractions)
    return wrong, drop


def mean_over_windows(values: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return, for every pixel, the mean of `values` (windows,) over the windows that cover it, (side, side).

    Args:
        rows, columns: which rows and columns of the image each window covers, 0 or 1, (windows, side).
    """
    return rows.T @ (values[:, None] * columns) / (rows.T @ columns)
