"""What is kept of a system's runs on real faces: a table of predictions and, beside it, the facts to read it with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from fer import params
from fer.evaluation import metrics
from fer.evaluation.answers import Answers
from fer.layout import model_name
from fer.params import Experiment
from fer.reporting.budget import Budget
from fer.reporting.external import SAW

KEY = ("fold", "seed")  # of a run
ELSEWHERE = (  # columns of what the runs answered on other datasets
    "fold", "seed", "dataset", "protocol", "sample", "cluster", "label", "predicted", "predicted_as_cut",
)  # fmt: skip


@dataclass(frozen=True)
class Entry(Answers):
    """One row of the report on real faces: an experiment of this project, or a system outside it.

    `predictions` have one more column than `Answers` asks for: copy, whether train of its fold holds a duplicate.
    `facts` is the JSON file; `elsewhere` has a row per answer to an image of another dataset, columns `ELSEWHERE`, of
    which label and predicted are expressions.
    """

    name: str
    facts: dict
    elsewhere: pd.DataFrame

    @property
    def external(self) -> bool:
        """Whether it is a system outside this project."""
        return "external" in self.facts

    @property
    def dataset(self) -> str:
        """The name of the dataset on which it was tested."""
        return self.facts["dataset"]

    @property
    def protocol(self) -> str:
        """The protocol whose test part it answered."""
        return self.facts["protocol"]

    @property
    def dataset_title(self) -> str:
        """The dataset's title."""
        return params.load_dataset(self.dataset).title

    @cached_property
    def experiment(self) -> Experiment | None:
        """The experiment as params/ describes it today; None for a system outside."""
        return None if self.external else params.load_experiment(self.facts["experiment"])

    @property
    def kind(self) -> str:
        """The experiment's kind, or "external"."""
        return "external" if self.external else self.experiment.kind

    @property
    def system(self) -> str:
        """The title of its system; of one outside, its name."""
        return self.facts["external"] if self.external else params.load_system(self.experiment.system).title

    @cached_property
    def runs(self) -> list[dict]:
        """The facts of each run in `predictions`; a system outside this project has none."""
        return [run for run in self.facts.get("runs", []) if run["seed"] in self.seeds]

    @property
    def variants_tested(self) -> bool:
        """Whether variants of the training images are among the test images, by design."""
        return bool(self.experiment and self.experiment.augment_before_split)

    @cached_property
    def without_copies(self) -> Answers | None:
        """The answers on the test images without a copy in train; None where all or none have one."""
        copies = self.predictions["copy"]
        return Answers(self.predictions[~copies], self.classes) if copies.any() and not copies.all() else None

    @property
    def ece(self) -> float | None:
        """The expected calibration error, in [0, 1]; None for a system that gave only labels."""
        return self.mean("ece") if self.facts.get("probabilities", True) else None

    @cached_property
    def bins(self) -> pd.DataFrame:
        """The bins of the reliability diagram, all folds and seeds together."""
        columns = [f"p_{name}" for name in self.classes]
        labels = self.predictions["label"].to_numpy(np.int64)
        return metrics.reliability(labels, self.predictions[columns].to_numpy(np.float64))

    def tables(self, name: str) -> list[pd.DataFrame]:
        """Return a table of each run for which it is kept: robustness, columns corruption, severity, n and accuracy."""
        return [
            pd.DataFrame(
                [
                    {"corruption": corruption, "severity": severity, "n": run[name]["n"], "accuracy": accuracy}
                    for corruption, accuracies in run[name].items()
                    if corruption != "n"
                    for severity, accuracy in enumerate(accuracies, 0 if corruption == "none" else 1)
                ]
            )
            for run in self.runs
            if run[name]
        ]

    @cached_property
    def budget(self) -> Budget | None:
        """How long its runs were trained, beside what the recipe asks for; None for a system outside."""
        if self.external:
            return None
        each = [Budget(**run["budget"]) for run in self.runs]
        done, longest = min(item.done for item in each), max(item.longest for item in each)
        return replace(each[0], done=done, longest=longest, folds=len({run["fold"] for run in self.runs}))

    @property
    def starts_from(self) -> str:
        """The network whose weights training started from; "" for random weights, and for a system outside."""
        start = None if self.external else self.facts["parameters"]["recipe"].get("start_from")
        return model_name(Path(start)) if start else ""

    @property
    def variant(self) -> str:
        """What distinguishes it from others of its system: a variant's change, or the weights it started from."""
        if self.external:
            return "outside"
        return self.experiment.change or (f"sound, from {self.starts_from}" if self.starts_from else "sound")

    @property
    def trained(self) -> str:
        """How long it was trained, beside what the recipe asks for; for an outside system, its authors' words."""
        if self.external:
            return f"on: {self.facts['trained_on']}"
        idle, averaged = sum(run["never_learned"] for run in self.runs), self.facts["parameters"].get("averaged")
        words = [str(self.budget)]
        words += [f"averaged with {averaged['share']:g} of {model_name(Path(averaged['run']))}"] if averaged else []
        words += [f"{idle} of {len(self.runs)} runs never learned"] if idle else []
        return "; ".join(words)

    @property
    def saw_test(self) -> str:
        """Whether the test images were used in training, in words."""
        if self.external:
            return SAW[self.facts["saw_test"]]
        return "no" if self.runs[0]["chosen_on"] == "val" else SAW["chosen"]

    @property
    def hours(self) -> float | None:
        """The wall-clock hours that the trainings took, all runs together."""
        return None if self.external else sum(run["environment"]["seconds"] for run in self.runs) / 3600
