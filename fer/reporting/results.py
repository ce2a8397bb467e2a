"""What a study measured, gathered from its run folders: one `Result` an experiment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from fer import layout
from fer.evaluation import metrics
from fer.evaluation.answers import Scores
from fer.params import Experiment, Study
from fer.reporting import budget, losses
from fer.reporting.budget import Budget
from fer.reporting.losses import Losses
from fer.reporting.tables import percent
from fer.runs import Run, experiment_folds, study_runs
from fer.storage import read_json
from fer.wording import stamp

VIEWS = {"both": "eyes and mouth", "eyes": "eyes alone", "mouth": "mouth alone", "boxes": "boxes alone"}


@dataclass(frozen=True)
class Result(Scores):
    """One experiment of a study with all its runs, folds × seeds; `corrupted` is the study's.

    What was measured comes from the runs' summaries (`fer.evaluation.summary`), its description from params/.
    """

    runs: list[Run]
    corrupted: int | None = None

    @property
    def synthetic(self) -> bool:
        """Whether the faces are synthetic, as recorded with the data."""
        return self.summaries[0]["synthetic"]

    @property
    def first(self) -> Run:
        """The first run: first fold, first seed."""
        return self.runs[0]

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.first.name

    @property
    def experiment(self) -> Experiment:
        """The experiment as its file in params/ describes it."""
        return self.first.experiment

    @property
    def kind(self) -> str:
        """Sound, as_published, defect or ablation."""
        return self.experiment.kind

    @property
    def published(self) -> float | None:
        """The figure published for this experiment: none for a variant that nobody but us has run.

        Nor is there one on synthetic faces, with which it must not be compared.
        """
        own = self.kind in ("sound", "as_published") and not self.synthetic
        return self.experiment.published.accuracy if own else None

    @property
    def variant(self) -> str:
        """What the experiment is beside others on the same data: sound, or how it departs from the sound one."""
        return self.experiment.change or "sound"

    @property
    def label(self) -> str:
        """The system's title, with what the experiment gives it to see where there is a choice."""
        experiment = self.experiment
        seen = [] if experiment.modality == "visible" else [experiment.modality]
        seen += [] if experiment.views == "face" else [VIEWS[experiment.views]]
        return self.first.system.title + (f" ({', '.join(seen)})" if seen else "")

    @property
    def dataset_title(self) -> str:
        """The dataset's title, with SYNTHETIC where its faces are."""
        return self.first.dataset.title + stamp(self.synthetic)

    @property
    def starts_from(self) -> str:
        """What weights training began with, as the runs themselves say."""
        weights = self.parameters["architecture"].get("weights", "random")
        own = "random weights" if weights == "random" else "ImageNet" if weights == "imagenet" else Path(weights).name
        if start := self.parameters["recipe"].get("start_from"):
            own = layout.model_name(Path(start))
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
        return experiment_folds(self.experiment)

    @cached_property
    def summaries(self) -> list[dict]:
        """The summary of each run."""
        return [read_json(run.folder / layout.SUMMARY) for run in self.runs]

    def tables(self, name: str) -> list[pd.DataFrame]:
        """Return one table of each run's summary: answers, bins, robustness or history."""
        return [pd.DataFrame(summary[name]) for summary in self.summaries]

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row per test sample and seed, all folds together: the summaries' answers, and columns fold and seed."""
        tables = zip(self.runs, self.tables("answers"), strict=True)
        return pd.concat([table.assign(fold=run.fold, seed=run.seed) for run, table in tables], ignore_index=True)

    def bins(self, seeds: list[int]) -> pd.DataFrame:
        """Return the bins of confidence of some seeds, all folds together."""
        tables = zip(self.runs, self.tables("bins"), strict=True)
        own = [table for run, table in tables if run.seed in seeds]
        return sum(own[1:], own[0])

    @cached_property
    def by_seed(self) -> list[dict]:
        """The metrics of each seed over all its folds."""
        classes, found = self.first.dataset.classes, []
        for seed, rows in self.predictions.groupby("seed"):
            matrix = metrics.confusion(rows["label"].to_numpy(), rows["predicted"].to_numpy(), len(classes))
            found.append(metrics.figures(matrix, self.bins([seed]), classes))
        return found

    @property
    def clusters(self) -> int:
        """The number of subjects, sequences or single images among the test samples."""
        return self.interval.clusters

    @property
    def publication(self) -> str:
        """What was published for this experiment, in words, with its source; for synthetic faces, why it is hidden."""
        published = self.experiment.published
        return published.withheld if self.synthetic else published.sentence

    @property
    def reading(self) -> str:
        """What to know when reading the figure, in words: training, alignment, lost faces, copies."""
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
        return budget.measure(self.runs, self.tables("history"), self.parameters)

    @cached_property
    def losses(self) -> Losses:
        """What was lost on the way: faces not found, copies in train, runs that never learned."""
        idle = [summary["never_learned"] for summary in self.summaries]
        return losses.measure(self.first, self.predictions, idle)

    @property
    def trained(self) -> str:
        """How long it was trained, beside what the recipe asks for, and whether nothing came of it."""
        return "; ".join(filter(None, (str(self.budget), self.losses.idle())))

    @cached_property
    def confusion(self) -> np.ndarray:
        """Counts (true, predicted) summed over folds and seeds."""
        return np.sum([figures["confusion_matrix"] for figures in self.by_seed], axis=0)

    @cached_property
    def cost(self) -> dict:
        """Parameters and FLOPs, and the median of the milliseconds measured in each run."""
        costs = [summary["cost"] for summary in self.summaries]
        return costs[0] | {"milliseconds": float(np.median([cost["milliseconds"] for cost in costs]))}

    @property
    def environments(self) -> list[dict]:
        """What each run recorded of its machine, versions and training time."""
        return [summary["environment"] for summary in self.summaries]

    @property
    def parameters(self) -> dict:
        """The resolved parameters of the first run, with the hashes of its data."""
        return self.summaries[0]["parameters"]

    @property
    def worst_class(self) -> str:
        """The class of lowest recall, in words."""
        worst = self.per_class.sort_values("recall").iloc[0]
        return f"{worst.name}, {100 * worst['recall']:.1f} % of {int(worst['n'])}"

    def command(self, run: Run) -> str:
        """Return what trains and evaluates one run by hand."""
        root = run.layout.root
        corrupted = "" if self.corrupted is None else f" --corrupted {self.corrupted}"
        return f"{run.train_command(root)} && {run.command('evaluate', root)}{corrupted}"

    def accuracies(self) -> list[float]:
        """Return the test accuracy of each run, in [0, 1]."""
        return [float((table["label"] == table["predicted"]).mean()) for table in self.tables("answers")]

    @property
    def deviations(self) -> list[str]:
        """Where it departs from the publication: the system, the experiment, and what the study changes of it."""
        own = [*self.first.system.deviations, *self.experiment.deviations]
        own += budget.overridden(self.first, self.parameters["overrides"])
        made, all_folds = len(self.folds), len(self.all_folds)
        return own if made == all_folds else [*own, f"This study: {made} of {all_folds} folds"]


def collect(study: Study) -> list[Result]:
    """Return the results of a study in the order of its experiments."""
    runs = study_runs(study)
    return [Result([run for run in runs if run.name == name], study.corrupted) for name in study.experiments]
