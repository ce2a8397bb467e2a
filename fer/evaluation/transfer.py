"""From the classes of one dataset to those of another, by the expressions they have in common."""

from __future__ import annotations

import numpy as np

from fer.expressions import expression


def transfer(probabilities: np.ndarray, trained: list[str], shared: list[str]) -> np.ndarray:
    """Return float64 (n, shared): what a network trained on other classes says of the shared ones only.

    Its probabilities (n, trained) of the other classes are dropped and the rest scaled to sum to one: the network
    is asked which of the shared expressions it sees.
    """
    columns = [list(map(expression, trained)).index(name) for name in shared]
    kept = probabilities[:, columns].astype(np.float64)
    return kept / np.maximum(kept.sum(1, keepdims=True), np.finfo(np.float64).tiny)


def shared_labels(labels: np.ndarray, tested: list[str], shared: list[str]) -> np.ndarray:
    """Return int64 codes in `shared` of labels coded in `tested`, -1 where the expression is not shared."""
    names = list(map(expression, tested))
    codes = np.array([shared.index(name) if name in shared else -1 for name in names])
    return codes[labels]
