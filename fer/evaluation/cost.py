"""What a prediction costs."""

from __future__ import annotations

import statistics
import time

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fer.params import Input

REPEATS = 50


def cost(network: nn.Module, input: Input) -> dict[str, float]:
    """Return parameters, FLOPs of one image, and CPU milliseconds of one image (batch of one, one thread, median).

    FLOPs are those of torch's counter: matrix products and convolutions, a multiplication and an addition each.
    """
    network = network.cpu().eval()
    image = torch.zeros(1, input.channels, input.size, input.size)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(image)
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "flops": counter.get_total_flops(),
        "milliseconds": milliseconds(network, image),
    }


@torch.inference_mode()
def milliseconds(network: nn.Module, image: torch.Tensor) -> float:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            network(image)
            times.append(time.perf_counter() - start)
        return round(1000 * statistics.median(times), 3)
    finally:
        torch.set_num_threads(threads)
