"""Published figures beside ours: all experiments, those of one dataset, those of one system, and what they cost."""

from __future__ import annotations

import pandas as pd

from fer.reporting.results import Result
from fer.reporting.tables import Table, percent, span
from fer.storage import read_json

OURS = (
    "'Ours' is top-1 accuracy on the test part, as mean ± standard deviation over seeds. The 95 % interval is "
    "that of the accuracy averaged over seeds, for other clusters of the same kind: subjects where they are "
    "known, otherwise sequences or images. 'Majority' is the accuracy of always answering the most frequent "
    "class."
)
TRAINED = (
    "'Trained' says how much of the recipe a run was given. A run that never learned answers a single class, or "
    "is no better on validation than its largest class."
)
LOSSES = (
    "'No face' is the share of the dataset's images in which no face was found. 'Copies' is the share of test "
    "images with an exact or near duplicate in train, followed by the accuracy on the others ('variants': test "
    "images have variants in train, by design)."
)
TITLE = "Published and reproduced"
HOW = f"{OURS} {TRAINED} {LOSSES}"
DEVIATIONS = (
    "'Deviations' counts the known departures from the publication, including those of the study. They are listed "
    "below."
)
UNPUBLISHED = (
    "The column 'published' is empty for synthetic faces: their figures must not be compared with published ones."
)


def overview(results: list[Result]) -> Table:
    """Every sound experiment, named by its system and modality: the published figure, ours, and the conditions."""
    sound = [result for result in results if result.kind == "sound"]
    if not sound:
        empty = pd.DataFrame({"experiment": [], "ours %": []})
        if not results:
            return Table("results", TITLE, "This study has data only, no experiments.", empty, empty, False)
        note = "This study has no sound experiment, only variants. They are in the tables below."
        return Table("results", TITLE, note, empty, numbers(results), any_synthetic(results))
    note = f"{how(sound)} The epoch is chosen on validation only, and the test part is used once. {DEVIATIONS}"
    frame = rows_of(sound, ("experiment", "dataset", "protocol"), ("starts from", "deviations"))
    return Table("results", TITLE, note, frame, numbers(results), any_synthetic(sound), names_of(sound))


def of_dataset(name: str, results: list[Result]) -> Table:
    """All experiments on one dataset, variants too."""
    own = [result for result in results if result.experiment.dataset == name]
    weighed = "Balanced accuracy and macro F1 weigh classes alike; ECE is the expected calibration error (15 bins)."
    note = f"{how(own)} {without_faces(own)} {weighed}"
    title = f"{own[0].dataset_title}: every system"
    frame = rows_of(own, ("system", "row", "protocol"), ("starts from", "balanced %", "macro F1 %", "ECE %"))
    return Table(f"dataset-{name}", title, note, frame, numbers(own), any_synthetic(own), names_of(own))


def of_system(name: str, results: list[Result]) -> Table:
    """All experiments with one system, variants too."""
    own = [result for result in results if result.experiment.system == name]
    title = f"{own[0].first.system.title}: every dataset"
    frame = rows_of(own, ("dataset", "row", "modality", "protocol"), ("weighted F1 %", "starts from"))
    return Table(f"system-{name}", title, how(own), frame, numbers(own), any_synthetic(own), names_of(own))


def rows_of(results: list[Result], before: tuple[str, ...], after: tuple[str, ...]) -> pd.DataFrame:
    """Return one row per experiment, with some columns before and after the `figures` that every table has."""
    rows = []
    for result in results:
        every = {
            "experiment": result.name,
            "dataset": result.dataset_title,
            "system": result.label,
            "row": result.variant,
            "modality": result.experiment.modality,
            "protocol": protocol_of(result),
            "starts from": result.starts_from,
            "deviations": str(len(result.deviations)),
            "balanced %": result.plus_minus("balanced_accuracy"),
            "macro F1 %": result.plus_minus("macro_f1"),
            "weighted F1 %": result.plus_minus("weighted_f1"),
            "ECE %": result.plus_minus("ece"),
        }
        rows.append({key: every[key] for key in before} | figures(result) | {key: every[key] for key in after})
    return pd.DataFrame(rows)


def costs(results: list[Result]) -> Table:
    """What a prediction costs, and what the training cost."""
    own = [result for result in results if result.kind == "sound"]
    rows = []
    for result in own:
        seconds = [machine["seconds"] for machine in result.environments]
        rows.append(
            {
                "experiment": result.name,
                "system": result.label,
                "input": result.shape,
                "parameters": f"{result.cost['parameters']:,}",
                "MFLOPs": f"{result.cost['flops'] / 1e6:,.1f}",
                "ms an image": f"{result.cost['milliseconds']:.2f}",
                "peak MB": f"{max(machine['peak_memory_mb'] for machine in result.environments):,.0f}",
                "training s": f"{sum(seconds) / len(seconds):,.0f}",
                "trained": result.trained,
            }
        )
    note = (
        "A multiplication and an addition count as two FLOPs. Milliseconds are the median for one image on one "
        "CPU thread. Peak memory is that of the training process. Training seconds are the mean wall-clock time "
        "of a run."
    )
    return Table("cost", "Cost", note, pd.DataFrame(rows), numbers(own), any_synthetic(own), names_of(own))


def protocol_of(result: Result) -> str:
    """Return an experiment's protocol in words."""
    return result.experiment.protocol.replace("_", " ")


def figures(result: Result) -> dict[str, str]:
    """Return the figures that every table shows together."""
    return {
        "published %": "" if result.synthetic else percent(result.published),
        "ours %": result.plus_minus("accuracy"),
        "95 % interval": span(result.interval.low, result.interval.high),
        "n": f"{result.n:,}",
        "clusters": f"{result.clusters:,}",
        "majority %": percent(result.majority, 1),
        "trained": result.trained,
        "seeds": str(len(result.seeds)),
        **lost(result),
    }


def lost(result: Result) -> dict[str, str]:
    """Return the cells on images that were lost on the way to a figure."""
    return {"no face %": percent(result.losses.without_face, 1), "copies %": result.losses.copied()}


def how(results: list[Result]) -> str:
    """Return how to read the columns of `figures`."""
    return f"{HOW} {UNPUBLISHED}" if any_synthetic(results) else HOW


def without_faces(results: list[Result]) -> str:
    """Return in words the share of each class in which no face was found, and how many images show several faces."""
    counts = read_json(results[0].first.layout.faces_counts(results[0].experiment.dataset))
    lines = []
    for modality, outcomes in counts["modalities"].items():
        found, samples = outcomes["detected"], outcomes["samples"]
        shares = [
            f"{name} {percent(1 - some / all_, 1)}"
            for name, some, all_ in zip(counts["classes"], found, samples, strict=True)
            if all_
        ]
        together = percent(1 - sum(found) / max(sum(samples), 1), 1)
        lines.append(f"Without a face: {together} % of the {modality} images ({', '.join(shares)}).")
        if several := sum(outcomes["several"]):
            lines.append(
                f"With several faces: {several:,} of {sum(samples):,} {modality} images, cut by the largest clear one."
            )
    return " ".join(lines)


def numbers(results: list[Result]) -> pd.DataFrame:
    """Return one row per experiment with unrounded figures; fractions lie in [0, 1]."""
    return pd.DataFrame([unrounded(result) for result in results])


def unrounded(result: Result) -> dict:
    """Return an experiment's figures unrounded, as the CSV files have them."""
    experiment = result.experiment
    return {
        "experiment": result.name,
        "dataset": experiment.dataset,
        "system": experiment.system,
        "modality": experiment.modality,
        "views": experiment.views,
        "protocol": experiment.protocol,
        "kind": experiment.kind,
        "variant_of": experiment.variant_of,
        "change": experiment.change,
        "source": "synthetic" if result.synthetic else "real",
        "starts_from": result.starts_from,
        "alignment": result.alignment,
        "published_accuracy": result.published,
        "published_source": "" if result.synthetic else experiment.published.source,
        **result.unrounded(),
        "seeds": len(result.seeds),
        "folds": len(result.folds),
        "all_folds": len(result.all_folds),
        "trained": result.trained,
        f"trained_{result.budget.unit}": result.budget.done,
        f"recipe_{result.budget.unit}": result.budget.asked,
        "size": result.budget.size,
        "recipe_size": result.budget.full_size,
        "without_face": result.losses.without_face,
        "copies": result.losses.copies,
        "accuracy_without_copies": result.losses.without_copies,
        "never_learned": result.losses.unlearned,
        "deviations": len(result.deviations),
        **{
            f"{name}_mean": result.mean(name)
            for name in ("balanced_accuracy", "macro_precision", "macro_recall", "macro_f1")
            + ("weighted_precision", "weighted_recall", "weighted_f1", "ece")
        },
        **result.cost,
        "training_seconds": sum(machine["seconds"] for machine in result.environments) / len(result.environments),
    }


def per_class(result: Result) -> pd.DataFrame:
    """Return precision, recall and F1 of each class in percent, and its number of test samples."""
    table = result.per_class
    shown = (100 * table[["precision", "recall", "f1"]]).map("{:.1f}".format)
    shown.columns = ["precision %", "recall %", "F1 %"]
    return shown.assign(n=table["n"].astype(int)).rename_axis("class").reset_index()


def any_synthetic(results: list[Result]) -> bool:
    """Return whether a table must be stamped: whether any of its figures is for synthetic faces."""
    return any(result.synthetic for result in results)


def names_of(results: list[Result]) -> tuple[str, ...]:
    """Return the experiments' names, in the order of a table's rows."""
    return tuple(result.name for result in results)
