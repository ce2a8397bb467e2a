"""NVIE (Wang et al., IEEE Transactions on Multimedia 12(7), 2010), three classes: visible/infrared pairs of faces.

Eight archives in one folder, or the folders that unpacking them leaves, at any depth (see `fer.datasets.paired`):

    NVIE-disgust1-Vis.zip, NVIE-disgust2-Vis.zip, NVIE-disgust-Ir.zip → …/<a name with a number>.JPG
    NVIE-fear-Vis.zip, NVIE-fear-Ir.zip
    NVIE-happy1-Vis.7z, NVIE-happy2-Vis.zip, NVIE-happy-Ir.zip

Classes: 0 disgust, 1 fear, 2 happy. No official parts. There are over 100 subjects; where the names tell them, the
option `subject` says how: a regular expression with one group on an image's path. Numbers then count within a subject.
"""

from __future__ import annotations

from typing import Literal

from fer.datasets import register
from fer.datasets.paired import Paired
from fer.params import Dataset

SYNTHETIC_FILES = {
    "NVIE-disgust1-Vis.zip": "disgust1/S{subject:03}/{number:03}.JPG",
    "NVIE-disgust2-Vis.zip": "disgust2/S{subject:03}/{number:03}.JPG",
    "NVIE-disgust-Ir.zip": "NVIE/disgust/S{subject:03}/{number:03}.JPG",
    "NVIE-fear-Vis.zip": "S{subject:03}/fear_{number:03}.JPG",
    "NVIE-fear-Ir.zip": "fear/S{subject:03}/fear_{number:03}.JPG",
    "NVIE-happy1-Vis.7z": "happy1/S{subject:03}/{number:03}.JPG",
    "NVIE-happy2-Vis.zip": "happy2/S{subject:03}/{number:03}.JPG",
    "NVIE-happy-Ir.zip": "happy/S{subject:03}/{number:03}.JPG",
}


@register
class Nvie(Paired):
    """NVIE. Options: `unpaired`, `number` (see `fer.datasets.paired`) and `subject`."""

    dataset = "NVIE"
    seed = 106
    synthetic_files = SYNTHETIC_FILES

    def __init__(
        self,
        parameters: Dataset,
        *,
        unpaired: Literal["error", "leave_out"] = "error",
        number: str | None = None,
        subject: str | None = None,
    ):
        super().__init__(parameters, unpaired, number, subject)
