"""Which device a job computes on."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

import torch
from lightning_fabric import Fabric

from fer.errors import FerError

DEVICES = ("auto", "cpu", "cuda", "mps")
_held: list = []  # open lock files: a lock lives as long as the process


def make_fabric(device: str, precision: str, threads: int) -> Fabric:
    """Return a Fabric for one device; with several GPUs each process takes one that no other `fer` process holds."""
    if device not in DEVICES:
        raise FerError(f"unknown device {device!r}. Known: {', '.join(DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise FerError("--device cuda: torch sees no CUDA device here; use --device auto or cpu")
    if device == "mps" and not torch.backends.mps.is_available():
        raise FerError("--device mps: torch sees no MPS device here; use --device auto or cpu")
    torch.set_num_threads(threads)
    cuda = device in ("auto", "cuda") and torch.cuda.is_available()
    if not cuda:
        torch.use_deterministic_algorithms(True)
    # on the CPU mixed precision costs time and saves nothing
    precision = precision if cuda or device == "mps" else "32-true"
    return Fabric(accelerator=device, devices=[free_gpu()] if cuda else 1, precision=precision)


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
