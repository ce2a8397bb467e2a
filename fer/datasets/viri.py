"""VIRI (Siddiqui and Javaid, Multimodal Technologies and Interaction 4(3):46, 2020): 566 visible/infrared pairs.

Ten archives in one folder, or the folders that unpacking them leaves, at any depth (see `fer.datasets.paired`):

    VIRI-{Angry,Happy,Neutral,Sad,Surprise}-{Vis,Ir}.zip → …/<a name with a number>.JPG

Classes: 0 Angry, 1 Happy, 2 Neutral, 3 Sad, 4 Surprise. No official parts; subjects are not stated.
"""

from __future__ import annotations

from typing import Literal

from fer.datasets import register
from fer.datasets.paired import Paired
from fer.params import Dataset

SYNTHETIC_FILES = {  # depth and names differ on purpose: those inside the real archives are not documented
    "VIRI-Angry-Vis.zip": "{number:03}.JPG",
    "VIRI-Angry-Ir.zip": "VIRI-Angry-Ir/{number:03}.JPG",
    "VIRI-Happy-Vis.zip": "Happy/{number:03}.JPG",
    "VIRI-Happy-Ir.zip": "Happy/IR_{number:04}.JPG",
    "VIRI-Neutral-Vis.zip": "VIRI/Visible/Neutral/VIS ({number}).JPG",
    "VIRI-Neutral-Ir.zip": "VIRI/Infrared/Neutral/IR ({number}).JPG",
    "VIRI-Sad-Vis.zip": "Sad/{number:03}.JPG",
    "VIRI-Sad-Ir.zip": "{number:03}.JPG",
    "VIRI-Surprise-Vis.zip": "Surprise/visible/Surprise_{number:03}.JPG",
    "VIRI-Surprise-Ir.zip": "Surprise_{number:03}.JPG",
}


@register
class Viri(Paired):
    """VIRI. Options: `unpaired` and `number` (see `fer.datasets.paired`)."""

    dataset = "VIRI"
    seed = 105
    synthetic_files = SYNTHETIC_FILES

    def __init__(
        self,
        parameters: Dataset,
        *,
        unpaired: Literal["error", "leave_out"] = "error",
        number: str | None = None,
    ):
        super().__init__(parameters, unpaired, number)
