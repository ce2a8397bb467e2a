"""Which device a job computes on, and in which precision."""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
from pathlib import Path

import torch

from fer.errors import FerError

logger = logging.getLogger("fer")

DEVICES = ("auto", "cpu", "cuda", "mps")
_held: list = []  # open lock files: a lock lives as long as the process


def choose_device(device: str, threads: int) -> torch.device:
    """Return the device that `device` (one of DEVICES) asks for, and prepare torch for it.

    With several GPUs each process takes one that no other `fer` process holds.
    """
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
    """Return the first visible GPU without a `fer` process on it; where all have one, share one.

    A scheduler that assigns devices shows a job only one GPU: nothing is left to choose. Locks are named after the
    GPU's own identifier, because jobs that see different GPUs each count theirs from 0.
    """
    count = torch.cuda.device_count()
    for number in range(count if count > 1 else 0):
        identifier = torch.cuda.get_device_properties(number).uuid
        lock = open(Path(tempfile.gettempdir()) / f"fer-gpu-{os.getuid()}-{identifier}.lock", "w")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _held.append(lock)
        return number
    return os.getpid() % count


def precision_in_effect(asked: str, device: torch.device, bf16_on_cpu: bool = False) -> str:
    """Return the precision in which a recipe that asks for "32-true" or "bf16-mixed" is trained on a device.

    bf16-mixed takes effect on GPUs that compute in bfloat16, and on CPUs that do where `bf16_on_cpu` allows it: its
    bits differ from those of 32-bit training, which are the same on CPUs with and without it.
    """
    if asked == "32-true" or device.type not in ("cpu", "cuda"):
        return "32-true"
    if device.type == "cuda":
        return asked if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    if bf16_on_cpu and not cpu_has_bf16():
        logger.warning("bf16 on the CPU: this processor does not support bfloat16; training in 32 bits")
    return asked if bf16_on_cpu and cpu_has_bf16() else "32-true"


def cpu_has_bf16() -> bool:
    """Return whether the processor multiplies in bfloat16 (AVX512-BF16 or AMX); elsewhere torch emulates it, slowly."""
    able = getattr(torch.cpu, "get_capabilities", dict)()  # newer than the oldest torch that serves
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def describe(device: torch.device, precision: str) -> dict:
    """Return what a training computed on and how, ready for JSON."""
    here = {"device": device.type, "precision": precision, "threads": torch.get_num_threads()}
    if device.type != "cuda":
        return here
    return here | {
        "device": torch.cuda.get_device_name(device),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "driver": driver(),
    }


def driver() -> str:
    """Return the version of the NVIDIA driver, or "unknown"."""
    try:
        words = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").split("Module")[1].split()
    except (OSError, IndexError):
        return "unknown"
    return next((word for word in words if word[0].isdigit()), "unknown")
