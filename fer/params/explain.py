"""Explanations: stage explain."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fer.params.base import Positive, Strict


class Explain(Strict):
    """How a trained network's answers are explained, and what that may cost."""

    windows: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        min_length=1, description="sides of the occluding windows, as fractions of the image's; maps are averaged"
    )
    stride: Annotated[float, Field(gt=0, le=1)] = Field(description="step of a window, as a fraction of its side")
    removed: float = Field(description="value of a hidden or deleted pixel as the network sees it, after normalisation")
    samples: Positive = Field(description="test samples of each expression, one a subject or sequence, at even spacing")
    budget: Annotated[float, Field(gt=0)] = Field(
        description="TFLOPs of an experiment's forward passes: beyond it fewer samples are taken, at least one"
    )
    steps: Annotated[int, Field(gt=0, le=100_000)] = Field(description="steps of the deletion and insertion curves")
    blur: Annotated[float, Field(gt=0, le=0.2)] = Field(
        description="σ of the blurred image that insertion starts from, as a fraction of the side"
    )
    columns: Annotated[int, Field(gt=0, le=100)] = Field(
        description="single samples of each expression that the figure shows"
    )
