"""What is kept of a system's runs on real faces: a table of predictions and, beside it, what they are read with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from fer import params
from fer.evaluation import metrics
from fer.evaluation.answers import Answers
from fer.evaluation.intervals import Interval, accuracy_interval
from fer.params import Experiment
from fer.reporting.budget import Budget
from fer.storage import read_frame, read_json, write_frame, write_json

KEY = ("fold", "seed")  # of a run
ELSEWHERE = (  # columns of what the runs answered on other datasets
    "fold", "seed", "dataset", "protocol", "sample", "cluster", "label", "predicted", "predicted_as_cut",
)  # fmt: skip
OWN_CLUSTER = "sample:"  # how the cluster of an image that stands for itself begins
SAW = {
    "no": "no",
    "chosen": "chosen by them",
    "yes": "YES: not a test",
    "unknown": "unknown",
}


@dataclass(frozen=True)
class Entry:
    """One row of the report on real faces: an experiment of this project, or a system outside it.

    `facts` are the JSON file; `table` has a row a prediction, with columns fold, seed, sample, cluster, copy (whether
    train of its fold holds a duplicate), label, predicted and `p_<class>`; `elsewhere` one an answer to an image of
    another dataset, columns `ELSEWHERE`, of which label and predicted are expressions.
    """

    name: str
    facts: dict
    table: pd.DataFrame
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
        """The facts of each run in `table`; a system outside this project has none."""
        seeds = set(self.answers.seeds)
        return [run for run in self.facts.get("runs", []) if run["seed"] in seeds]

    @cached_property
    def answers(self) -> Answers:
        """All its predictions, and the figures of them."""
        return Answers(self.table, self.facts["classes"])

    @property
    def variants_tested(self) -> bool:
        """Whether variants of the training images are among the test images, by design."""
        return bool(self.experiment and self.experiment.augment_before_split)

    @cached_property
    def without_copies(self) -> Answers | None:
        """The answers on the test images without a copy in train; None where all or none have one."""
        copies = self.table["copy"]
        return Answers(self.table[~copies], self.facts["classes"]) if copies.any() and not copies.all() else None

    @property
    def interval_without_copies(self) -> Interval | None:
        """The interval of the accuracy on the images of `without_copies`."""
        if self.without_copies is None:
            return None
        samples = self.without_copies.samples
        return accuracy_interval(samples["correct"].to_numpy(), samples["cluster"].to_numpy(str))

    @property
    def ece(self) -> float | None:
        """The expected calibration error, in [0, 1]; None for a system that gave labels alone."""
        return self.answers.mean("ece") if self.facts.get("probabilities", True) else None

    @cached_property
    def bins(self) -> pd.DataFrame:
        """The bins of the reliability diagram, all folds and seeds together."""
        columns = [f"p_{name}" for name in self.facts["classes"]]
        labels, probabilities = self.table["label"].to_numpy(np.int64), self.table[columns].to_numpy(np.float64)
        return metrics.reliability(labels, probabilities)

    @cached_property
    def budget(self) -> Budget | None:
        """How long its runs were trained, beside what the recipe asks for; None for a system outside."""
        if self.external:
            return None
        each = [Budget(**run["budget"]) for run in self.runs]
        done, longest = min(item.done for item in each), max(item.longest for item in each)
        return replace(each[0], done=done, longest=longest, folds=len({run["fold"] for run in self.runs}))

    @property
    def trained(self) -> str:
        """How long, beside what the recipe asks for; of a system outside this project, on what its authors say."""
        if self.external:
            return f"on: {self.facts['trained_on']}"
        idle = sum(run["never_learned"] for run in self.runs)
        return str(self.budget) + (f"; {idle} of {len(self.runs)} runs never learned" if idle else "")

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


def write_entry(place: Path, facts: dict, table: pd.DataFrame, elsewhere: pd.DataFrame | None = None) -> None:
    """Write `<place>.parquet` and `<place>.json`, and `<place>.elsewhere.parquet` where there is such a table.

    Probabilities become half precision, in which the class that is predicted stays the most probable one. An image that
    stands for itself has no cluster.
    """
    columns = [f"p_{name}" for name in facts["classes"]]
    values = halved(table[columns].to_numpy(np.float32), table["predicted"].to_numpy(np.int64))
    kept = pd.DataFrame(
        {
            "fold": table["fold"].astype("category"),
            "seed": table["seed"].astype("int32"),
            "sample": table["sample"].astype("int32"),
            "cluster": table["cluster"].where(~table["cluster"].str.startswith(OWN_CLUSTER)).astype("category"),
            "copy": table["copy"].astype(bool),
            "label": table["label"].astype("int8"),
        }
    )
    kept = pd.concat([kept.reset_index(drop=True), pd.DataFrame(values, columns=columns)], axis=1)
    write_frame(place.with_name(f"{place.name}.parquet"), kept.sort_values([*KEY, "sample"], ignore_index=True))
    if elsewhere is not None and len(elsewhere):
        words = [name for name in ELSEWHERE if name not in ("seed", "sample")]
        ordered = elsewhere.sort_values([*KEY, "dataset", "sample"], ignore_index=True)
        write_frame(
            place.with_name(f"{place.name}.elsewhere.parquet"), ordered.astype(dict.fromkeys(words, "category"))
        )
    write_json(place.with_name(f"{place.name}.json"), facts)


def halved(probabilities: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return float16 (n, classes) whose first largest value is that of the class `predicted`."""
    values = probabilities.astype(np.float16)
    rows = np.arange(len(values))
    for _ in range(values.shape[1]):  # two that have become equal: the other one is lowered by the least step
        first = values.argmax(1)
        wrong = first != predicted
        if not wrong.any():
            break
        values[rows[wrong], first[wrong]] = np.nextafter(values[wrong, predicted[wrong]], np.float16(-1))
    return values


def stored(facts: Path) -> tuple[dict, pd.DataFrame, pd.DataFrame]:
    """Return what a JSON file and the Parquet files beside it hold, as `write_entry` was given it."""
    place = facts.name.removesuffix(".json")
    found, table = read_json(facts), read_frame(facts.with_name(f"{place}.parquet"))
    other = facts.with_name(f"{place}.elsewhere.parquet")
    elsewhere = read_frame(other).astype({"fold": str}) if other.exists() else pd.DataFrame(columns=list(ELSEWHERE))
    columns = [f"p_{name}" for name in found["classes"]]
    table["fold"] = table["fold"].astype(str)
    own = OWN_CLUSTER + table["sample"].astype(str)
    table["cluster"] = table["cluster"].astype(object).where(table["cluster"].notna(), own)
    table[columns] = table[columns].astype(np.float32)
    table["predicted"] = table[columns].to_numpy().argmax(1)
    return found, table, elsewhere


def read_entry(facts: Path) -> Entry:
    """Return what is kept in a JSON file and the Parquet file beside it, less the seeds that lack folds of others."""
    found, table, elsewhere = stored(facts)
    folds = table.groupby("seed")["fold"].transform("nunique")
    table = table[folds == folds.max()].reset_index(drop=True)
    return Entry(facts.name.removesuffix(".json"), found, table, elsewhere)


def read_entries(folder: Path) -> list[Entry]:
    """Return every entry of a folder, by name."""
    return [read_entry(path) for path in sorted(folder.glob("*.json"))]
