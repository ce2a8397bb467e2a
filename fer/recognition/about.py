"""What is known about a trained network: its data, its accuracy, and its limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fer import layout
from fer.params import RunParameters
from fer.storage import read_json

ABOUT = "about.json"  # beside the weights of a released model
LIMITS = (
    "Shows which expression a face resembles, as the labellers of its dataset saw it; it does not show what a person "
    "feels, intends or is.",
    "Must not be used to judge people: not in hiring, schooling, policing, insurance, health or at borders. Inferring "
    "emotions at work and in schools is forbidden in the European Union (AI Act, article 5).",
    "Accuracy differs between expressions, ages, skin tones, poses and light; measure it on your own pictures first.",
    "The landmark model that aligns faces excludes commercial use (iBUG 300-W).",
)


@dataclass(frozen=True)
class About:
    """Where a network comes from, how accurate it is and what it must not be used for. `str` gives a summary.

    `name`: of the model; `system`, `dataset`, `protocol`: what was trained, and on what; `synthetic`: whether the faces
    were; `n`, `accuracy`, `interval`: its test images, top-1 accuracy and 95 % interval; `accuracy_without_leaked`,
    `n_without_leaked`: the same without test images that have a copy in train; `epochs`, `seed`: of its training;
    `notes`: on this model; `limits`: of every model. Accuracies are fractions in [0, 1]; what was not measured is None.

    Examples:
        >>> import fer
        >>> about = fer.load("fer2013-fer_baseline").about
        >>> about.dataset, about.synthetic
        ('FER2013', False)
        >>> print(about)
        fer2013-fer_baseline: ..., trained on FER2013 (official)
        test accuracy ...
    """

    name: str
    system: str
    dataset: str
    protocol: str
    synthetic: bool | None = None
    n: int | None = None
    accuracy: float | None = None
    interval: tuple[float, float] | None = None
    accuracy_without_leaked: float | None = None
    n_without_leaked: int | None = None
    epochs: int | None = None
    seed: int | None = None
    notes: tuple[str, ...] = ()
    limits: tuple[str, ...] = field(default=LIMITS)

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.system}, trained on {self.dataset} ({self.protocol})"]
        if self.synthetic:
            lines.append("SYNTHETIC: trained on synthetic faces; its answers on real faces mean nothing")
        if self.accuracy is not None:
            low, high = self.interval or (None, None)
            bounds = "" if low is None else f", 95 % interval {100 * low:.1f} to {100 * high:.1f} %"
            lines.append(f"test accuracy {100 * self.accuracy:.2f} % (n = {self.n:,}{bounds})")
        if self.accuracy_without_leaked is not None:
            lines.append(
                f"without test images that have a copy in train: {100 * self.accuracy_without_leaked:.2f} % "
                f"(n = {self.n_without_leaked:,})"
            )
        if self.epochs is not None:
            lines.append(f"{self.epochs} epochs, seed {self.seed}")
        return "\n".join([*lines, *self.notes, "Limits:", *(f"- {limit}" for limit in self.limits)])


def about(folder: Path, parameters: RunParameters) -> About:
    """Return what a model's folder says about it: `about.json` of a released one, else what evaluate measured."""
    known = {
        "name": parameters.experiment,
        "system": parameters.system,
        "dataset": parameters.dataset,
        "protocol": parameters.protocol.replace("_", " "),
        "seed": parameters.seed,
    }
    if (folder / ABOUT).exists():
        known |= read_json(folder / ABOUT)
    elif (folder / layout.METRICS).exists():
        figures = read_json(folder / layout.METRICS)
        known |= {"n": figures["n"], "accuracy": figures["accuracy"], "interval": figures["interval"]["accuracy"]}
    if not (folder / ABOUT).exists() and (folder / layout.SUMMARY).exists():
        known["synthetic"] = read_json(folder / layout.SUMMARY).get("synthetic")
    known["notes"] = [*known.get("notes", []), *origin(parameters)]
    if known.get("interval"):
        known["interval"] = tuple(known["interval"][:2])
    for key in ("notes", "limits"):
        if key in known:
            known[key] = tuple(known[key])
    return About(**known)


def origin(parameters: RunParameters) -> list[str]:
    """Return what to know when reading a run's figures: its defects, and what its starting weights were trained on."""
    started = parameters.started_on.items()
    before = "training started from a network trained on {} ({}), whose epochs come on top"
    notes = [before.format(name, part) for name, part in started]
    if averaged := parameters.averaged:
        notes.append(f"its weights are averaged with those of an earlier run, which make up {100 * averaged.share:g} %")
    if parameters.recipe.choose_epoch_on == "test":
        notes.append("its epoch was chosen on the test images: the accuracy is not a test result")
    if parameters.augment_before_split:
        notes.append("its images were augmented before the split: the accuracy is not a test result")
    return notes
