"""What every parameter file's type is built from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Protocol = Literal[
    "official",
    "stratified_56_11_33",
    "stratified_61_25_14",
    "stratified_70_10_20",
    "stratified_70_15_15",
    "stratified_80_10_10",
    "random_70_10_20",
    "kfold_subject",
    "leave_one_subject_out",
    "by_character",
]
Modality = Literal["visible", "infrared", "fused"]
Views = Literal["face", "eyes", "mouth", "both", "boxes"]


class Strict(BaseModel):
    """Unknown keys are errors and values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `epochs: true`, which pydantic would read as 1."""
        items = value if isinstance(value, list) else [value]
        truth = any(isinstance(item, bool) for item in items)
        if truth and "bool" not in str(cls.model_fields[info.field_name].annotation):
            raise ValueError("true and false are no values of this key")
        return value
