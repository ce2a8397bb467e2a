"""What a study measured, gathered from its run folders: one `Result` an experiment."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from fer import layout
from fer.evaluation.intervals import Interval, accuracy_interval
from fer.evaluation.metrics import metrics
from fer.params import Study
from fer.reporting import budget, losses
from fer.reporting.budget import Budget
from fer.reporting.losses import Losses
from fer.reporting.tables import SYNTHETIC, percent
from fer.runs import Run, experiment_folds, study_runs
from fer.storage import read_csv, read_frame, read_json

VIEWS = {"both": "eyes and mouth", "eyes": "eyes alone", "mouth": "mouth alone", "boxes": "boxes alone"}


@dataclass(frozen=True)
class Result:
    """One experiment of a study with all its runs, folds × seeds; `corrupted` is the study's."""

    runs: list[Run]
    corrupted: int | None = None

    @cached_property
    def synthetic(self) -> bool:
        """Whether the faces were drawn, as the data themselves say."""
        return read_json(self.first.layout.counts(self.first.experiment.dataset))["synthetic"]

    @property
    def first(self) -> Run:
        """The first run: first fold, first seed."""
        return self.runs[0]

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.first.name

    @property
    def kind(self) -> str:
        """Sound, as_published, defect or ablation."""
        return self.first.experiment.kind

    @property
    def published(self) -> float | None:
        """The figure that was published for this experiment: none for a variant that no one but us has run.

        Nor is there one on drawn faces, with which it must not be compared.
        """
        own = self.kind in ("sound", "as_published") and not self.synthetic
        return self.first.experiment.published.accuracy if own else None

    @property
    def published_cell(self) -> str:
        """The published accuracy in percent, as a table shows it; empty where there is none to compare with."""
        return "" if self.synthetic else percent(self.published)

    @property
    def row(self) -> str:
        """What the experiment is beside others on the same data: sound, or how it departs from the sound one."""
        return self.first.experiment.change or "sound"

    @property
    def label(self) -> str:
        """The system's title, with what the experiment gives it to see where there is a choice."""
        experiment = self.first.experiment
        seen = [] if experiment.modality == "visible" else [experiment.modality]
        seen += [] if experiment.views == "face" else [VIEWS[experiment.views]]
        return self.first.system.title + (f" ({', '.join(seen)})" if seen else "")

    @property
    def dataset_title(self) -> str:
        """The dataset's title, with SYNTHETIC where its faces were drawn."""
        return self.first.dataset.title + (f" ({SYNTHETIC})" if self.synthetic else "")

    @property
    def starts_from(self) -> str:
        """What weights training began with, as the runs themselves say."""
        weights = self.parameters["architecture"].get("weights", "random")
        own = "random weights" if weights == "random" else "ImageNet" if weights == "imagenet" else Path(weights).name
        return own + (", trained infrared" if "infrared_from" in self.parameters else "")

    @property
    def alignment(self) -> str:
        """How the faces were cut, and the first digits of the hash of the array that the network was given."""
        alignment, hashes = self.first.dataset.alignment, self.parameters["data"]
        name = next(name for name in ("crops", "eyes", "mouth", "boxes") if name in hashes)
        how = {"crops": f"{alignment.crop} {alignment.size}", "boxes": "landmark boxes"}.get(name, "landmark blocks")
        return f"{how} · {hashes[name][:8]}"

    @property
    def shape(self) -> str:
        """What the network was given, such as 48×48×1."""
        given = self.parameters["input"]
        return f"{given['size']}×{given['size']}×{given['channels']}"

    @property
    def seeds(self) -> list[int]:
        """The seeds of the study's runs, in ascending order."""
        return sorted({run.seed for run in self.runs})

    @property
    def folds(self) -> list[str]:
        """The folds that the study made, in their order."""
        return list(dict.fromkeys(run.fold for run in self.runs))

    @property
    def all_folds(self) -> list[str]:
        """All folds of the protocol."""
        return experiment_folds(self.first.experiment)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row a test sample and seed, all folds together."""
        tables = [read_frame(run.folder / layout.PREDICTIONS).assign(fold=run.fold, seed=run.seed) for run in self.runs]
        return pd.concat(tables, ignore_index=True)

    @cached_property
    def by_seed(self) -> list[dict]:
        """The metrics of each seed over all its folds."""
        classes = self.first.dataset.classes
        columns = [f"p_{name}" for name in classes]
        return [
            metrics(rows["label"].to_numpy(), rows[columns].to_numpy(), classes)
            for _, rows in self.predictions.groupby("seed")
        ]

    @property
    def n(self) -> int:
        """The number of test samples, all folds together, of one seed."""
        return self.by_seed[0]["n"]

    def values(self, metric: str) -> np.ndarray:
        """Return a metric of each seed over all its folds, float64 (seeds,)."""
        return np.array([figures[metric] for figures in self.by_seed])

    def mean(self, metric: str) -> float:
        """Return the mean of a metric over seeds."""
        return float(self.values(metric).mean())

    def std(self, metric: str) -> float | None:
        """Return the sample standard deviation over seeds, or None with a single seed."""
        values = self.values(metric)
        return float(values.std(ddof=1)) if len(values) > 1 else None

    def plus_minus(self, metric: str) -> str:
        """Return a figure in percent, with its deviation over seeds where there are several."""
        std = self.std(metric)
        return f"{100 * self.mean(metric):.2f}" + ("" if std is None else f" ± {100 * std:.2f}")

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row a test image of a fold: `correct`, the share of the seeds that are right, and its `cluster`.

        The rows are indexed by fold, sample and image: of one sample there are several where variants are tested, too.
        """
        rows = self.predictions.assign(correct=self.predictions["label"] == self.predictions["predicted"])
        rows["image"] = rows.groupby(["fold", "seed", "sample"]).cumcount()
        return rows.groupby(["fold", "sample", "image"]).agg({"correct": "mean", "cluster": "first"})

    @cached_property
    def accuracy_interval(self) -> Interval:
        """The 95 % interval of the accuracy averaged over seeds, with its method and the number of clusters."""
        return accuracy_interval(self.samples["correct"].to_numpy(), self.samples["cluster"].to_numpy(str))

    @property
    def interval(self) -> tuple[float, float]:
        """The bounds of `accuracy_interval`."""
        return self.accuracy_interval.low, self.accuracy_interval.high

    @property
    def clusters(self) -> int:
        """The number of subjects, sequences or single images that the test samples are of."""
        return self.accuracy_interval.clusters

    @property
    def publication(self) -> str:
        """What was published for this experiment, in words, with its source; on drawn faces, why it is not shown."""
        published = self.first.experiment.published
        return published.withheld if self.synthetic else published.sentence

    @property
    def reading(self) -> str:
        """What the figure is to be read with, in words: training, alignment, lost faces, copies."""
        found = self.losses
        lines = [f"Trained: {self.trained}. Alignment: {self.alignment}."]
        lines.append(f"No face was found in {percent(found.without_face, 1)} % of the dataset's images.")
        if found.copies is None:
            lines.append("Variants of its training images are among the test images, by design.")
        elif found.copies:
            lines.append(f"{percent(found.copies, 1)} % of the test images have a duplicate in train.")
            if found.without_copies is not None:
                lines.append(f"On the others the accuracy is {percent(found.without_copies)} %.")
        return " ".join(lines)

    @cached_property
    def budget(self) -> Budget:
        """How long the runs were trained and on what size of input, beside what the recipe asks for."""
        return budget.measure(self.runs, self.histories(), self.parameters)

    @cached_property
    def losses(self) -> Losses:
        """What was lost on the way: faces not found, copies in train, runs that never learned."""
        return losses.measure(self.runs, self.predictions, self.histories(), self.parameters["recipe"])

    @property
    def trained(self) -> str:
        """How long, beside what the recipe asks for, and whether nothing came of it."""
        return "; ".join(filter(None, (str(self.budget), self.losses.idle())))

    @property
    def majority(self) -> float:
        """The accuracy of always answering the test part's most frequent class, in [0, 1]."""
        return float(self.predictions["label"].value_counts(normalize=True).iloc[0])

    @cached_property
    def confusion(self) -> np.ndarray:
        """Counts (true, predicted) summed over folds and seeds."""
        return np.sum([figures["confusion_matrix"] for figures in self.by_seed], axis=0)

    @cached_property
    def per_class(self) -> pd.DataFrame:
        """Precision, recall, F1 (means over seeds) and n of each class."""
        tables = [pd.DataFrame(figures["per_class"]).T for figures in self.by_seed]
        return sum(tables[1:], tables[0]) / len(tables)

    @cached_property
    def cost(self) -> dict:
        """Parameters and FLOPs, and the median of the milliseconds measured in each run."""
        costs = [read_json(run.folder / layout.COST) for run in self.runs]
        return costs[0] | {"milliseconds": float(np.median([cost["milliseconds"] for cost in costs]))}

    @cached_property
    def environments(self) -> list[dict]:
        """What each run recorded of its machine, versions and training time."""
        return [read_json(run.folder / layout.ENVIRONMENT) for run in self.runs]

    @cached_property
    def parameters(self) -> dict:
        """The resolved parameters of the first run, with the hashes of its data."""
        return read_json(self.first.folder / layout.PARAMETERS)

    @property
    def worst_class(self) -> str:
        """The class of lowest recall, in words."""
        worst = self.per_class.sort_values("recall").iloc[0]
        return f"{worst.name}, {100 * worst['recall']:.1f} % of {int(worst['n'])}"

    def command(self, run: Run) -> str:
        """Return what trains and evaluates one run by hand."""
        where = f"{run.name} --fold {run.fold} --seed {run.seed} --threads {run.threads}"
        where += "" if run.layout.root == Path() else f" --root {run.layout.root}"
        bf16 = " --bf16-on-cpu" if run.bf16_on_cpu else ""
        changes = "".join(f" --set {shlex.quote(f'{name}={value}')}" for name, value in run.overrides.items())
        corrupted = "" if self.corrupted is None else f" --corrupted {self.corrupted}"
        return f"fer train {where}{bf16}{changes} && fer evaluate {where}{corrupted}"

    def accuracy(self, run: Run) -> float:
        """Return the test accuracy of one run, in [0, 1]."""
        return read_json(run.folder / layout.METRICS)["accuracy"]

    def histories(self) -> list[pd.DataFrame]:
        """Return the training history of each run, one row an epoch."""
        return [read_csv(run.folder / layout.HISTORY) for run in self.runs]

    @property
    def deviations(self) -> list[str]:
        """Where it departs from the publication: the system, the experiment, and what the study changes of it."""
        own = [*self.first.system.deviations, *self.first.experiment.deviations]
        own += budget.overridden(self.first, self.parameters["overrides"])
        made, all_folds = len(self.folds), len(self.all_folds)
        return own if made == all_folds else [*own, f"This study: {made} of {all_folds} folds"]


def collect(study: Study) -> list[Result]:
    """Return the results of a study in the order of its experiments."""
    runs = study_runs(study)
    return [Result([run for run in runs if run.name == name], study.corrupted) for name in study.experiments]
