"""Whether an exported file gives the answers of the network that it was made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fer.errors import FerError

CLOSEST = 1e-3  # probability by which a file in full precision may differ
MOST_OTHER = {"fp32": 0.0, "fp16": 0.01, "int8": 0.05}  # share of images that may get another label


@dataclass(frozen=True)
class Parity:
    """How two sets of probabilities of the same images differ: `largest` difference, `equal` share of the labels."""

    largest: float
    equal: float

    def require(self, precision: str, on: str) -> None:
        """Refuse a file that differs more than its precision explains.

        Raises:
            FerError: it differs too much; the message has the figure.
        """
        too_far = precision == "fp32" and self.largest > CLOSEST
        if too_far or 1 - self.equal > MOST_OTHER[precision] + (CLOSEST if precision == "fp32" else 0):
            bound = f"at most {CLOSEST}" if too_far else f"at most {MOST_OTHER[precision]:.0%} with other labels"
            advice = "" if precision == "fp32" else ". Export it in full precision"
            raise FerError(
                f"not exported: on {on}, {1 - self.equal:.1%} get another label in {precision} than from the original "
                f"network, and probabilities differ by up to {self.largest:.2g}; expected {bound}{advice}"
            )


def compare(original: np.ndarray, exported: np.ndarray) -> Parity:
    """Return how the probabilities (n, classes) of the exported file differ from the original's."""
    equal = original.argmax(1) == exported.argmax(1)
    return Parity(float(np.abs(original - exported).max()), float(equal.mean()))
