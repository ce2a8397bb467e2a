"""The resume point of a training: written whole after every epoch, refused when it belongs to another training."""

from __future__ import annotations

import errno
import io
import logging
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fer.storage import write_bytes

if TYPE_CHECKING:
    from fer.training.loop import State

logger = logging.getLogger("fer")


def save(path: Path, state: State) -> None:
    content = {
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scheduler": state.scheduler.state_dict(),
        "average": state.average.state_dict() if state.average else None,
        "history": state.history,
        "best_accuracy": state.best_accuracy,
        "best_weights": state.best_weights,
    }
    buffer = io.BytesIO()  # torch's own writing turns a full disk into an obscure RuntimeError
    torch.save(content, buffer)
    write_bytes(path, buffer.getbuffer())


def load(path: Path, state: State) -> None:
    """Bring `state` to where the checkpoint left it; without a readable checkpoint training starts anew."""
    if not path.exists():
        return
    try:
        verify(path)
        saved = torch.load(path, weights_only=True, map_location="cpu")  # never unpickles code
    except Exception as error:  # of a damaged file torch's reader makes exceptions of many kinds
        if isinstance(error, MemoryError) or getattr(error, "errno", None) not in (None, errno.EINVAL):
            raise  # the machine's fault: the file may be well
        logger.warning("%s is damaged (%s): training starts anew", path, error)
        return
    state.network.load_state_dict(saved["network"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.scheduler.load_state_dict(saved["scheduler"])
    if state.average:
        state.average.load_state_dict(saved["average"])
    state.history = saved["history"]
    state.best_accuracy = saved["best_accuracy"]
    state.best_weights = saved["best_weights"]
    logger.info("resumed after epoch %d", state.history[-1]["epoch"])


def verify(path: Path) -> None:
    """Check the checksums of a checkpoint, which torch writes and does not read."""
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(f"{damaged} is not what was written")
