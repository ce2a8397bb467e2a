"""A dataset: where its images come from, and how faces are cut out of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fer.params.base import Fraction, Name, Positive, Side, Strict
from fer.wording import counted


class Alignment(Strict):
    """How a distributed image becomes a face crop."""

    crop: Literal["distributed", "similarity"] = Field(
        description="distributed: the image as its owners cropped it; similarity: eyes level, at canonical places"
    )
    size: Side = Field(description="side of the square crop in pixels")
    channels: Literal[1, 3] = Field(description="1 = grey, 3 = RGB")
    detector: Literal["hog", "cnn"] = Field("hog", description="dlib's detector: HOG (fast) or CNN (for a GPU)")
    enlarge: list[Annotated[float, Field(gt=0, le=16)]] = Field(
        min_length=1,
        description="enlargements (below 1: shrinkings) of the detector's copy, tried until a clear face is found",
    )
    padding: Fraction = Field(
        description="border of mean brightness around the detector's copy, as a fraction of its side"
    )
    infrared: Literal["partner", "own"] = Field(
        "partner",
        description="whose landmarks an infrared image takes: those of its visible partner, or its own",
    )
    missing: Literal["full_frame", "drop", "error"] = Field(
        description="what to do with an image without a detected face"
    )


class Blocks(Strict):
    """The eyes and the mouth block of a face (system prior_attention)."""

    size: Side = Field(32, description="side of the square blocks in pixels")
    margin: Annotated[float, Field(ge=0, le=10)] = Field(
        0.3, description="border around the landmarks of a block, as a fraction of the distance between the eyes"
    )


class Audit(Strict):
    """What counts as a leak between the parts of a fold, and what becomes of it."""

    distance: Annotated[int, Field(ge=0, le=64)] = Field(
        12, description="near duplicates: the most bits in which two 64-bit perceptual hashes may differ"
    )
    correlation: Fraction = Field(0.9, description="… and at least this correlation of the whole pictures")
    likeness: Fraction = Field(
        0.97,
        description="… and at least this correlation of the registered faces' detail: higher where one person "
        "poses several expressions under one light, lower where watermarks cover copies",
    )
    on_leak: Literal["report", "drop_from_train", "error"] = Field(
        "report", description="duplicates across parts are reported, removed from train, or an error"
    )
    most_dropped: Fraction = Field(
        0.2, description="drop_from_train: the largest share of train, and of each class in it, that may be removed"
    )


class Download(Strict):
    """One file that anyone may fetch."""

    url: str = Field(pattern=r"^https?://", description="where it is")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(None, description="of the whole file")


class Dataset(Strict):
    """A dataset as `params/datasets/<name>.yaml` describes it: what it shows, where it is, how faces are cut out."""

    title: str
    citation: str
    obtain: str = Field(description="where a user gets the files, for error messages")
    adapter: Name | None = Field(None, description="module in fer/datasets/ that reads it; default: the dataset's name")
    options: dict[str, Any] = Field(default_factory=dict, description="arguments of the adapter's constructor")
    classes: list[str] = Field(min_length=2, description="class names in the order of their codes")
    allow_empty_classes: bool = Field(
        False,
        description="true: go on where a class has no image, lost all its faces, or is absent from train or from test",
    )
    subjects: list[Name] | None = Field(None, description="every subject, where folds are made of them one by one")
    official_counts: dict[str, list[int]] = Field(
        default_factory=dict, description="official images per part (train, val, test, or all), in class order"
    )
    source: str = Field(
        description="synthetic; the path of an archive, file or folder; a URL; kaggle:…; or download (see downloads)"
    )
    unreadable: Literal["error", "leave_out"] = Field(
        "error",
        description="what to do with image files that cannot be decoded: stop and name all of them, or leave "
        "them out and count them",
    )
    downloads: list[Download] = Field(default_factory=list, description="what `source: download` fetches")
    samples: Positive = Field(200, description="approximate number of images that the synthetic source draws")
    alignment: Alignment
    blocks: Blocks = Blocks()
    audit: Audit = Audit()

    @model_validator(mode="after")
    def counts_cover_classes(self) -> Dataset:
        """Refuse classes that repeat, and official counts that do not have one number for each class."""
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes {self.classes} repeat")
        for part, counts in self.official_counts.items():
            if part not in ("train", "val", "test", "all"):
                raise ValueError(f"official_counts.{part} is not a part; expected train, val, test or all")
            if min(counts, default=0) < 0:
                raise ValueError(f"official_counts.{part} has a negative number")
            if len(counts) != len(self.classes):
                raise ValueError(
                    f"official_counts.{part} has {counted(len(counts), 'number')} for {len(self.classes)} classes"
                )
        return self
