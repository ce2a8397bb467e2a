"""Checkpoints: written whole, and refused if they belong to another training."""

from __future__ import annotations

import copy
import errno
import io
import logging
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from fer.errors import FerError
from fer.storage import write_bytes
from fer.training.averaging import MovingAverage

logger = logging.getLogger("fer")

SECONDS = 60.0  # of work that a kill may cost


@dataclass
class State:
    """Everything that resuming needs; epochs are seeded, so it holds no random state."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler
    average: MovingAverage | None
    history: list[dict] = field(default_factory=list)
    best_accuracy: float = -1.0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    earlier: float = 0.0  # seconds of the attempts before this one
    began: float = field(default_factory=time.monotonic)


class Checkpoint:
    """The state after the last whole epoch: in memory, and on disk at most every `seconds` seconds.

    As a context manager it is written when the training is interrupted (Ctrl-C) or diverges.
    """

    def __init__(self, path: Path, seconds: float = SECONDS):
        self.path, self.seconds = path, seconds
        self.content: dict | None = None  # what the file does not have yet
        self.written = time.monotonic()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, KeyboardInterrupt | FerError):
            self.write()

    def keep(self, state: State, last: bool) -> None:
        """Keep the state after an epoch; write it if the last write was long ago or the epoch is the last."""
        self.content = content_of(state)
        if last or time.monotonic() - self.written >= self.seconds:
            self.write()
        else:  # the next epoch changes these tensors in place
            changing = ("network", "optimizer", "scheduler", "average", "history")
            self.content |= {name: copy.deepcopy(self.content[name]) for name in changing}

    def write(self) -> None:
        """Write the last whole epoch, if the file does not have it yet."""
        if self.content is None:
            return
        buffer = io.BytesIO()  # torch's own writing turns a full disk into an obscure RuntimeError
        torch.save(self.content, buffer)
        write_bytes(self.path, buffer.getbuffer())
        self.content, self.written = None, time.monotonic()

    def load(self, state: State) -> None:
        """Restore `state` from the file; without a readable file training starts from the beginning."""
        if not self.path.exists():
            return
        try:
            verify(self.path)
            saved = torch.load(self.path, weights_only=True, map_location="cpu")  # never unpickles code
        except Exception as error:  # of a damaged file torch's reader makes exceptions of many kinds
            if isinstance(error, MemoryError) or getattr(error, "errno", None) not in (None, errno.EINVAL):
                raise  # the machine's fault: the file may be well
            logger.warning("%s is damaged (%s): training restarts from the beginning", self.path, error)
            return
        state.network.load_state_dict(saved["network"])
        state.optimizer.load_state_dict(saved["optimizer"])
        state.scheduler.load_state_dict(saved["scheduler"])
        if state.average:
            state.average.load_state_dict(saved["average"])
        state.history = saved["history"]
        state.best_accuracy = saved["best_accuracy"]
        state.best_weights = saved["best_weights"]
        state.earlier = saved["seconds"]
        logger.info("resumed after epoch %d", state.history[-1]["epoch"])


def content_of(state: State) -> dict:
    """Return the state as `torch.save` takes it; it shares the tensors of the training."""
    return {
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scheduler": state.scheduler.state_dict(),
        "average": state.average.state_dict() if state.average else None,
        "history": state.history,
        "best_accuracy": state.best_accuracy,
        "best_weights": state.best_weights,
        "seconds": state.earlier + time.monotonic() - state.began,
    }


def verify(path: Path) -> None:
    """Check the checksums of a checkpoint, which torch writes but does not verify."""
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(f"{damaged} differs from what was written")
