"""What a prediction costs."""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from fer.params import Input
from fer.training.data import normalise

REPEATS = 50


def cost(network: nn.Module, images: Tensor, input_spec: Input, views: int = 1) -> dict[str, float]:
    """Return parameters, FLOPs of one image, and CPU milliseconds of one image (batch of one, one thread, median).

    Args:
        images: uint8 (1, planes × channels, size, size), as the network takes them.
        views: how many views of an image are classified (`Recipe.test_time_views`), a pass each.
    """
    network = network.cpu().eval()
    image = normalise(images.cpu(), input_spec)
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "flops": views * flops(network, image),
        "milliseconds": milliseconds(network, image, views),
    }


def flops(network: nn.Module, image: Tensor) -> int:
    """Return the FLOPs of one pass of one image (1, planes × channels, size, size), by the formulas of torch's counter.

    Those of matrix products, convolutions and LSTMs, a multiplication and an addition each.
    """
    with torch.inference_mode(False), torch.no_grad(), Counter() as counter:
        network(image)
    return counter.flops


class Counter(TorchDispatchMode):
    """Adds up the FLOPs of the operations that run inside it.

    `FlopCounterMode` would import torch's compiler, 1.1 s of processor time in every evaluation.
    """

    def __init__(self):
        super().__init__()
        own = {torch.ops.aten.mkldnn_rnn_layer: lstm_flops}
        self.formulas, self.flops = FlopCounterMode(display=False, custom_mapping=own).flop_registry, 0

    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:  # what would import it
        return False

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        """Run an operation and count it."""
        result = operation(*args, **(kwargs or {}))
        if formula := self.formulas.get(getattr(operation, "overloadpacket", operation)):
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        return result


def lstm_flops(steps: torch.Size, input_weights: torch.Size, hidden_weights: torch.Size, *rest, **named) -> int:
    """Return the FLOPs of an LSTM from its shapes, which torch's counter does not know on a CPU."""
    each = input_weights[0] * input_weights[1] + hidden_weights[0] * hidden_weights[1]
    return 2 * steps[0] * steps[1] * each


@torch.inference_mode()
def milliseconds(network: nn.Module, image: torch.Tensor, passes: int) -> float:
    """Return the median time of `passes` forward passes on one CPU thread, in milliseconds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            for _ in range(passes):
                network(image)
            times.append(time.perf_counter() - start)
        return round(1000 * statistics.median(times), 3)
    finally:
        torch.set_num_threads(threads)
