"""Which device a job computes on."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fer.errors import FerError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

DEVICES = ("auto", "cpu", "cuda", "mps")
_held: list = []  # open lock files: a lock lives as long as the process


def make_fabric(device: str, precision: str, threads: int) -> Fabric:
    """Return a Fabric for one device; with several GPUs each process takes one that no other `fer` process holds."""
    from lightning_fabric import Fabric  # takes two seconds, which evaluation does without

    chosen = choose_device(device, threads)
    # on the CPU mixed precision costs time and saves nothing
    precision = "32-true" if chosen.type == "cpu" else precision
    return Fabric(
        accelerator=chosen.type, devices=[chosen.index] if chosen.index is not None else 1, precision=precision
    )


def choose_device(device: str, threads: int) -> torch.device:
    """Return the device that `device` (one of DEVICES) asks for, and prepare torch for it."""
    if device not in DEVICES:
        raise FerError(f"unknown device {device!r}. Known: {', '.join(DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise FerError("--device cuda: torch sees no CUDA device here; use --device auto or cpu")
    if device == "mps" and not torch.backends.mps.is_available():
        raise FerError("--device mps: torch sees no MPS device here; use --device auto or cpu")
    torch.set_num_threads(threads)
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return torch.device("cuda", free_gpu())
    if device == "mps" or (device == "auto" and torch.backends.mps.is_available()):
        return torch.device("mps")
    torch.set_deterministic_debug_mode("error")  # as use_deterministic_algorithms, which imports the compiler as well
    return torch.device("cpu")


def free_gpu() -> int:
    """Return the first GPU without a `fer` process on it, or share the process's own number modulo the count."""
    count = torch.cuda.device_count()
    for number in range(count):
        lock = open(Path(tempfile.gettempdir()) / f"fer-gpu-{os.getuid()}-{number}.lock", "w")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _held.append(lock)
        return number
    return os.getpid() % count


def device_name(fabric: Fabric) -> str:
    return torch.cuda.get_device_name(fabric.device) if fabric.device.type == "cuda" else fabric.device.type
