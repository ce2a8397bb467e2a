"""The path of every artifact. The Snakefile and the command line both use it, so that each path is written once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The files of one study below its root ("." for the default study).

    Arguments are names, or Snakemake wildcards such as "{dataset}". No path need exist.

    Examples:
        >>> Layout().crops("fer2013").as_posix()
        'data/faces/fer2013.npy'
        >>> Layout(Path("studies/mine")).run("fer2013-dnn", fold="0", seed=0).as_posix()
        'studies/mine/runs/fer2013-dnn/0.0'
    """

    root: Path = Path()

    def raw(self, dataset: str) -> Path:
        """Every original image as distributed, encoded, with its path, SHA-256 and annotation, one row per sample."""
        return self.root / "data" / "raw" / f"{dataset}.parquet"

    def index(self, dataset: str) -> Path:
        """What each sample shows: label, official part, subject, modality, pair, sequence; one row per sample."""
        return self.root / "data" / "index" / f"{dataset}.parquet"

    def counts(self, dataset: str) -> Path:
        """What index found per class and part, beside the official counts (JSON)."""
        return self.root / "data" / "index" / f"{dataset}.counts.json"

    def faces(self, dataset: str) -> Path:
        """Detection outcome and landmarks, one row per sample."""
        return self.root / "data" / "faces" / f"{dataset}.parquet"

    def crops(self, dataset: str) -> Path:
        """The face crops, uint8 (samples, height, width[, channels]), in the order of the index."""
        return self.root / "data" / "faces" / f"{dataset}.npy"

    def faces_counts(self, dataset: str) -> Path:
        """How many faces align found in each class and modality (JSON)."""
        return self.root / "data" / "faces" / f"{dataset}.counts.json"

    def blocks(self, dataset: str) -> Path:
        """The boxes of the eyes and mouth blocks, one row per sample."""
        return self.root / "data" / "blocks" / f"{dataset}.parquet"

    def eyes(self, dataset: str) -> Path:
        """The eyes blocks, uint8 (samples, size, size[, channels]), in the order of the index."""
        return self.root / "data" / "blocks" / f"{dataset}.eyes.npy"

    def mouth(self, dataset: str) -> Path:
        """The mouth blocks, shaped as the eyes blocks are."""
        return self.root / "data" / "blocks" / f"{dataset}.mouth.npy"

    def split(self, dataset: str, protocol: str) -> Path:
        """The part (train, val, test) of each sample in each fold: columns sample, fold and part."""
        return self.root / "data" / "splits" / f"{dataset}.{protocol}.parquet"

    def augmented(self, experiment: str, fold: str) -> Path:
        """The offline variants of a fold's training crops, uint8 (variants, size, size[, channels])."""
        return self.root / "data" / "augmented" / experiment / f"{fold}.npy"

    def augmented_index(self, experiment: str, fold: str) -> Path:
        """Of which sample each variant is, and how it was made."""
        return self.root / "data" / "augmented" / experiment / f"{fold}.parquet"

    def audit(self, dataset: str, protocol: str) -> Path:
        """The leaks of a split (JSON)."""
        return self.root / "data" / "splits" / f"{dataset}.{protocol}.audit.json"

    def external(self, dataset: str, protocol: str, system: str, form: str) -> Path:
        """The figures (json) or predictions (parquet) of a system outside this project (`fer score`)."""
        return self.root / "external" / f"{dataset}.{protocol}" / f"{system}.{form}"

    def run(self, experiment: str, fold: str, seed: str | int) -> Path:
        """The folder of a run; the names of the files in it are constants of this module."""
        return self.root / "runs" / experiment / f"{fold}.{seed}"

    def explanation(self, experiment: str) -> Path:
        """How an experiment's first run was explained: scores, counts, parameters and remarks (JSON)."""
        return self.root / "runs" / experiment / "explain.json"

    def explanation_maps(self, experiment: str) -> Path:
        """The maps averaged over each expression's samples, float32 (classes, side, side) by method and plane."""
        return self.root / "runs" / experiment / "explain.safetensors"

    def reports(self) -> Path:
        """The folder of everything that is meant to be read."""
        return self.root / "reports"

    def results(self) -> Path:
        """Everything the report says, for its page and its cards (JSON)."""
        return self.reports() / "results.json"

    def tables(self) -> Path:
        """The folder of the tables beside that of the results."""
        return self.reports() / "tables"

    def table(self, name: str, form: str) -> Path:
        """A table of the report (md, tex or csv); `name` is one of `fer.reporting.names`."""
        return self.tables() / f"{name}.{form}"

    def cards(self) -> Path:
        """The folder of the model cards."""
        return self.reports() / "cards"

    def card(self, system: str) -> Path:
        """The model card of a system (Markdown)."""
        return self.cards() / f"{system}.md"

    def figures(self, experiment: str) -> Path:
        """The folder of the figures that the report draws of an experiment."""
        return self.reports() / "figures" / experiment

    def figure_of(self, experiment: str, kind: str) -> Path:
        """A figure of an experiment: confusion, curves or reliability."""
        return self.figures(experiment) / f"{kind}.png"

    def figure(self, name: str, kind: str) -> Path:
        """A picture that a stage before the report draws: faces, augment or explain (PNG)."""
        return self.reports() / "figures" / f"{name}.{kind}.png"

    def audit_page(self, dataset: str, protocol: str) -> Path:
        """The leaks of a split with their pictures side by side (HTML)."""
        return self.reports() / "leakage" / f"{dataset}.{protocol}.html"

    def code(self, stage: str, plugin: str = "") -> Path:
        """The digest of the modules that decide what a stage makes of a system's runs, or by a dataset's adapter."""
        return self.inputs()[0] / (f"{stage}.{plugin}" if plugin else stage)

    def parameters(self, stage: str, name: str = "") -> Path:
        """The parameters that a stage uses of a dataset or an experiment (JSON)."""
        return self.inputs()[1] / (f"{stage}.{name}.json" if name else f"{stage}.json")

    def inputs(self) -> tuple[Path, Path]:
        """The folders of the digests of code and of the resolved parameters (fer/inputs.py)."""
        return self.root / ".fer" / "code", self.root / ".fer" / "params"

    def refused_page(self, dataset: str, protocol: str) -> Path:
        """The page of a split that was refused: no output of any job, so that no engine deletes it."""
        return self.root / "logs" / "split" / f"{dataset}.{protocol}.leakage.html"

    def log(self, stage: str, name: str) -> Path:
        """What a job printed; `name` is that of its dataset, experiment or run."""
        return self.root / "logs" / stage / f"{name}.log"


# What train leaves in a run's folder, and what evaluate adds.
WEIGHTS = "weights.safetensors"
HISTORY = "history.csv"
PARAMETERS = "parameters.json"
ENVIRONMENT = "environment.json"
PREDICTIONS = "predictions.parquet"
METRICS = "metrics.json"
CONFUSION = "confusion.csv"
SUMMARY = "summary.json"  # everything that the report needs of the run (fer/evaluation/summary.py)
TRANSFER = "transfer.json"  # of the datasets of `fer evaluate --on`
TRANSFER_PREDICTIONS = "transfer.parquet"


def model_name(folder: Path) -> str:
    """Return the experiment of a run's folder, or the name of a released model.

    Examples:
        >>> model_name(Path("runs/fer2013-dnn/0.0")), model_name(Path("fer/pretrained/fer2013-fer_baseline"))
        ('fer2013-dnn', 'fer2013-fer_baseline')
    """
    return folder.parent.name if folder.suffix else folder.name  # a run lies in <experiment>/<fold>.<seed>
