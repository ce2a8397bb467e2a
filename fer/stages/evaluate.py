"""evaluate: from weights and the test part to predictions, metrics, confusion and a summary, in the run's folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from fer import layout, params
from fer.devices import choose_device
from fer.errors import FerError
from fer.evaluation.cost import cost
from fer.evaluation.metrics import confidence_bins, metrics
from fer.evaluation.predictions import accuracy_line, clusters_of, interval_of, predictions
from fer.evaluation.robustness import robustness
from fer.evaluation.summary import summary
from fer.evaluation.transfer import shared_labels, transfer
from fer.expressions import shared_expressions
from fer.faces.fitting import fit
from fer.faces.framing import framed
from fer.folds import folds
from fer.networks import load_network
from fer.params import Dataset, RunParameters
from fer.runs import TrainedRun, same_images
from fer.stages.originals import is_synthetic
from fer.storage import file_sha256, read_frame, write_frame, write_json, write_text
from fer.training.data import Part, load_part
from fer.training.prediction import classify


def evaluate(run: TrainedRun, device: str = "auto", corrupted: int | None = None) -> str:
    """Open the test part once and write what the trained network says about it; return a line for the terminal.

    At most `corrupted` (default 1,000) of its images are corrupted, to see how robust the network is.
    """
    run.require_same(run.data)
    chosen = choose_device(device, run.threads)
    network, parameters = load_network(run.folder, chosen)
    part = load_part(run.source, "test", chosen)
    classes = parameters.classes
    labels, probabilities = part.labels.cpu().numpy(), classify(network, part.images, parameters)

    clusters = clusters_of(run.data["index"], part.samples)
    table = predictions(part.samples, clusters, labels, probabilities, classes)
    write_frame(run.folder / layout.PREDICTIONS, table)
    names = np.array(classes)
    pairs = pd.DataFrame({"actual": names[labels], "predicted": names[table["predicted"]]})
    write_text(run.folder / layout.CONFUSION, pairs.to_csv(index=False, lineterminator="\n"))
    channels, views = parameters.input.channels, parameters.recipe.test_time_views
    robust = robustness(lambda part: classify(network, part.images, parameters), part, channels, corrupted or 1000)
    price = cost(network, part.images[:1], parameters.input, views)
    exact = probabilities.astype(np.float64)
    figures = metrics(labels, exact, classes) | interval_of(table)
    figures["cost"] = {name: price[name] for name in ("parameters", "flops")}  # the same on every machine
    write_json(run.folder / layout.METRICS, figures)
    found = summary(run, table, confidence_bins(labels, exact), robust, price)
    found["synthetic"] = is_synthetic(run.data["index"])
    write_json(run.folder / layout.SUMMARY, found, indent=None)
    return accuracy_line("test accuracy", figures)


def evaluate_on(run: TrainedRun, others: list[tuple[str, str]], device: str = "auto") -> str:
    """Test a trained network on the test samples of other datasets, by the expressions that both have.

    Samples of other expressions are left out and counted, and so are images that the network was trained on or whose
    accuracy chose its epoch, such as those that FER2013 and FER+ have in common. Only images with exactly the same
    pixels are recognised (a recompressed copy is not). If the two datasets crop faces differently, the tested faces are
    cropped again like the training faces; the accuracy on the original crops is also given (`as_cut`). Writes
    `transfer.json`, figures and answers by dataset, and `transfer.parquet`, the predictions (column dataset; label and
    predicted are expressions), to the run's folder.

    Args:
        others: dataset and protocol of each.
    """
    for dataset, protocol in others:
        if [name for name, _ in others].count(dataset) > 1:
            raise FerError(f"--on {dataset} is given more than once; expected one protocol of a dataset")
        if dataset == run.parameters.dataset:
            raise FerError(f"{run.name} was trained on {dataset}: evaluate it without --on")
        for seen, part in run.parameters.started_on.items():
            own = same_images(seen, run.parameters.dataset)  # the same part of it (`fer.networks.start`)
            if same_images(seen, dataset) and not (own and protocol == "official"):
                raise FerError(
                    f"{run.name} started from weights that were trained on {seen} ({part}): which of the images of "
                    f"{dataset} they have seen is not recorded. Test it on other datasets"
                )
    run.require_same({name: run.data[name] for name in ("index", "split")})  # they say which images were seen
    chosen = choose_device(device, run.threads)
    network, _ = load_network(run.folder, chosen)
    tested = {pair: tested_on(run, network, *pair, chosen) for pair in others}
    figures = {dataset: {"protocol": protocol} | found for (dataset, protocol), (found, _) in tested.items()}
    write_frame(
        run.folder / layout.TRANSFER_PREDICTIONS, pd.concat([table for _, table in tested.values()], ignore_index=True)
    )
    write_json(run.folder / layout.TRANSFER, figures, indent=None)
    return "; ".join(
        accuracy_line(f"accuracy on {dataset} over {len(found['classes'])} shared expressions", found)
        for dataset, found in figures.items()
    )


def tested_on(
    run: TrainedRun, network: nn.Module, dataset: str, protocol: str, device: torch.device
) -> tuple[dict, pd.DataFrame]:
    """Return the figures and the predictions of a run's network on the test samples of one other dataset."""
    other, parameters = params.load_dataset(dataset), run.parameters
    shared = shared_expressions(parameters.classes, other.classes)
    files = run.data_of(dataset, protocol)
    parts = [load_part(run.source_of(files, fold), "test", device) for fold in folds(protocol, other)]
    whole = Part(
        torch.cat([part.images for part in parts]),
        torch.cat([part.labels for part in parts]),
        np.concatenate([part.samples for part in parts]),
    )
    samples, labels = whole.samples, shared_labels(whole.labels.cpu().numpy(), other.classes, shared)
    as_cut = classify(network, whole.images, parameters)
    reframed = framed_otherwise(parameters, other)
    probabilities = classify(network, framed_as_trained(run, dataset, whole), parameters) if reframed else as_cut
    seen = np.isin(pixels_of(run.layout.faces(dataset), samples), seen_pixels(run))
    kept = (labels >= 0) & ~seen
    if not kept.any():
        raise FerError(
            f"{dataset} ({protocol}) has no test sample of {', '.join(shared)} that {run.name} was not trained on"
        )
    probabilities, as_cut = (transfer(answers, parameters.classes, shared)[kept] for answers in (probabilities, as_cut))
    clusters = clusters_of(files["index"], samples[kept])
    table = predictions(samples[kept], clusters, labels[kept], probabilities, shared)
    table[["label", "predicted"]] = np.array(shared)[table[["label", "predicted"]]]
    table.insert(0, "dataset", dataset)
    answers = table[["sample", "cluster"]].assign(correct=table["label"] == table["predicted"])
    table["predicted_as_cut"] = np.array(shared)[as_cut.argmax(1)]
    answers["correct_as_cut"] = table["label"] == table["predicted_as_cut"]
    return metrics(labels[kept], probabilities, shared) | interval_of(table) | {
        "framing": "as trained" if reframed else "as cut",
        "as_cut": metrics(labels[kept], as_cut, shared),
        "classes": shared,
        "other_expressions": int((labels < 0).sum()),
        "seen_in_training": int(seen.sum()),
        "weights": file_sha256(run.folder / layout.WEIGHTS),
        "answers": answers.to_dict("list"),
    }, table


def framed_otherwise(parameters: RunParameters, other: Dataset) -> bool:
    """Tell whether a run was trained on faces that are cropped differently from those of another dataset."""
    own = parameters.alignment
    seen = parameters.views == "face" and parameters.modality == "visible"
    return own is not None and seen and own.crop != other.alignment.crop


def framed_as_trained(run: TrainedRun, dataset: str, part: Part) -> Tensor:
    """Return the images of a test part of another dataset, cropped again as those of the run's own dataset are."""
    order = np.argsort(part.samples)
    raw, faces, alignment = run.layout.raw(dataset), run.layout.faces(dataset), run.parameters.alignment
    images = fit(framed(raw, faces, alignment, part.samples[order]), run.parameters.input)
    return torch.from_numpy(images[np.argsort(order)]).to(part.images.device)


def pixels_of(faces: Path, samples: np.ndarray) -> np.ndarray:
    """Return the hashes of the samples' decoded pixels."""
    return read_frame(faces, ["pixels"])["pixels"].to_numpy()[samples]


def seen_pixels(run: TrainedRun) -> np.ndarray:
    """Return the hashes of the images that the run was trained on or its epoch chosen by."""
    split = read_frame(run.data["split"])
    seen = split.loc[(split["fold"] == run.fold) & (split["part"] != "test"), "sample"].to_numpy()
    return pixels_of(run.layout.faces(run.parameters.dataset), seen)
