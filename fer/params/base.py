"""What every parameter file's type is built from."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

# Names of datasets, systems, experiments, folds and studies. They become parts of file names, wildcards of Snakemake,
# stages of DVC and words of a shell, so one grammar suits all of these. A dot separates names in a file's name; a
# hyphen does in a stage's, where a fold's own hyphen is doubled, so that no two jobs share a stage.
NAME = r"[A-Za-z0-9][A-Za-z0-9_]*(?:-[A-Za-z0-9_]+)*"
LONGEST_NAME = 64
GRAMMAR = (
    f"letters A to z, digits, _ and single hyphens between them (the first a letter or a digit, {LONGEST_NAME} at most)"
)
LARGEST_SEED = 2**32 - 1  # what NumPy takes


def valid_name(name: str) -> str:
    """Return a name that fits the grammar of names; anything else is a ValueError."""
    if len(name) > LONGEST_NAME or not re.fullmatch(NAME, name):
        raise ValueError(f"{name!r} is not a valid name; expected {GRAMMAR}")
    return name


Name = Annotated[
    str,
    AfterValidator(valid_name),
    Field(json_schema_extra={"pattern": f"^{NAME}$", "maxLength": LONGEST_NAME}),
]
Fraction = Annotated[float, Field(ge=0, le=1)]
# The upper bounds lie far above what anyone needs and below what NumPy, OpenCV or the memory refuse with a traceback.
Positive = Annotated[int, Field(gt=0, le=1_000_000_000)]
Side = Annotated[int, Field(gt=0, le=4096)]  # of an image, in pixels
Threads = Annotated[int, Field(gt=0, le=1024)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
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
            raise ValueError("true and false are not values of this key")
        return value
