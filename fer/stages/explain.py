"""explain: what a trained network's answers rest on, by occlusion, Grad-CAM and the system's own attention, scored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import save_file
from torch import Tensor

from fer import params
from fer.devices import choose_device
from fer.evaluation.predictions import clusters_of
from fer.explain.explanation import (
    CAM,
    DROP,
    METHODS,
    WRONG,
    Explanation,
    affordable,
    explain_network,
    mean_of_classes,
    summary,
)
from fer.explain.planes import branches_of
from fer.networks import load_network
from fer.params import Explain, Input, Recipe
from fer.reporting.drawing import BLUE, ORANGE
from fer.reporting.saliency import Row, Tile, draw_maps, draw_none, scale_of
from fer.runs import TrainedRun
from fer.stages.originals import is_synthetic
from fer.storage import atomic, write_json
from fer.training.data import Part, load_part, normalise
from fer.wording import counted

NO_PLACES = "left out: this system sees numbers, which have no place in an image, so there is no map"
NOTHING: dict = {"planes": [], "samples": [], "scored": 0, "scores": [], "methods": []}
OWN = "the system's own attention"
SAME_HAND = "Occlusion and deletion hide pixels by the same value, which favours the occlusion maps at deletion."


def explain(run: TrainedRun, device: str = "auto", overrides: dict[str, Any] | None = None) -> str:
    """Explain the run's network on its test part; return a line for the terminal.

    Writes the experiment's scores and counts (JSON), its mean maps (safetensors) and its figure. `overrides` are the
    study's changes to params/explain.yaml.
    """
    parameters = params.load_explain(overrides)
    run.require_same(run.data)
    chosen = choose_device(device, run.threads)
    (network, own), part = load_network(run.folder, chosen), load_part(run.source, "test")
    of = {"experiment": run.name, "fold": run.fold, "seed": own.seed, "parameters": parameters.model_dump()}
    of["synthetic"] = is_synthetic(run.data["index"])
    title = f"{run.name}, fold {run.fold}, seed {own.seed}: what the network's answers depend on"
    figure = run.layout.figure(run.name, "explain")
    if part.images.shape[-1] == 1:
        write(run, of | NOTHING | {"remarks": [NO_PLACES]}, {})
        draw_none(title, NO_PLACES, of["synthetic"], figure)
        return NO_PLACES

    classes, input_spec = own.classes, own.input
    first = normalise(part.images[:1].to(chosen), input_spec)[0]
    count = affordable(network, first, len(classes), parameters)
    clusters = clusters_of(run.data["index"], part.samples)
    rows = spread(part, clusters, count)
    part, clusters = Part(part.images[rows], part.labels[rows], part.samples[rows]), clusters[rows]
    images, labels = normalise(part.images.to(chosen), input_spec), part.labels.numpy()
    explanation = explain_network(network, images, part.labels.to(chosen), part.samples, parameters)
    means = {name: mean_of_classes(maps, labels, len(classes)) for name, maps in explanation.maps.items()}
    found = {
        "planes": list(branches_of(network)),
        "samples": counts(labels, explanation.correct, classes),
        "scored": int(explanation.correct.sum()),
        "scores": summary(explanation.scores, clusters),
        "methods": [{"name": name, "description": METHODS.get(name, OWN)} for name in explanation.scores],
        "remarks": [
            *remarks_on(count, parameters, own.recipe, explanation.maps[CAM]),
            *explanation.remarks,
            SAME_HAND,
        ],
    }
    write(run, of | found, means)
    rows = rows_of(part, explanation, means, found, parameters.columns, input_spec)
    draw_maps(title, rows, of["synthetic"], figure)
    return f"{counted(len(part), 'sample')}, {found['scored']} of them classified correctly; {figure}"


def write(run: TrainedRun, found: dict, means: dict[str, np.ndarray]) -> None:
    """Write what was found, and the mean maps (classes, planes, side, side) as one array per method and plane."""
    write_json(run.layout.explanation(run.name), found)
    arrays = {
        f"{name}, {plane}": np.ascontiguousarray(maps[:, at])
        for name, maps in means.items()
        for at, plane in enumerate(found["planes"])
    }
    with atomic(run.layout.explanation_maps(run.name)) as scratch:
        save_file(arrays, scratch)


def spread(part: Part, clusters: np.ndarray, count: int) -> np.ndarray:
    """Return which samples of a part are explained: int rows, at most `count` of each class, by their sample numbers.

    For each class, one sample per cluster is taken, since images of one person or sequence look alike: the middle one
    of clusters at even spacing over the part. A class with fewer clusters has fewer samples. If the whole part is one
    cluster, its images stand for themselves, as they do in the intervals.

    Args:
        clusters: (n,) names of what a sample shares with others.
    """
    alone = len(np.unique(clusters)) == 1
    order, labels = np.argsort(part.samples, kind="stable"), part.labels.numpy()
    chosen = []
    for code in np.unique(labels):
        own = order[labels[order] == code]
        names = pd.factorize(own if alone else clusters[own])[0]  # in the order in which they occur
        chosen += [middle(own[names == name]) for name in evenly(names.max() + 1, count)]
    return np.array(chosen)[np.argsort(part.samples[chosen], kind="stable")]


def evenly(number: int, most: int) -> np.ndarray:
    """Return at most `most` of 0, 1, …, `number` - 1 at even spacing: the middles of as many equal stretches."""
    taken = min(number, most)
    return ((np.arange(taken) + 0.5) * number / taken).astype(int)


def middle(rows: np.ndarray) -> int:
    """Return the row in the middle of a sorted selection."""
    return int(rows[len(rows) // 2])


def counts(labels: np.ndarray, correct: np.ndarray, classes: list[str]) -> list[dict]:
    """Return how many samples of each expression were explained, and how many of them are classified correctly."""
    return [
        {"expression": name, "samples": int((labels == code).sum()), "correct": int(correct[labels == code].sum())}
        for code, name in enumerate(classes)
    ]


def remarks_on(count: int, parameters: Explain, recipe: Recipe, grad_cam: np.ndarray) -> list[str]:
    """Return what there is to say of samples that the budget cut, and of an evaluation that differs from what is shown.

    The same goes for images for which Grad-CAM, (n, planes, side, side), found nothing that speaks for their class.
    """
    empty = int((grad_cam.max((1, 2, 3)) == 0).sum())
    said = {
        f"{counted(count, 'sample')} of each expression at most instead of {parameters.samples}, "
        f"for the budget of {parameters.budget:g} TFLOPs.": count < parameters.samples,
        "Dropout is off here; evaluation leaves it on.": recipe.dropout_at_evaluation,
        f"Images are shown once here; evaluation averages {recipe.test_time_views} views of each.": (
            recipe.test_time_views > 1
        ),
        f"Grad-CAM is zero everywhere for {empty} of {counted(len(grad_cam), 'image')}.": empty > 0,
    }
    return [remark for remark, applies in said.items() if applies]


# --- the figure's parts ---------------------------------------------------------------------------------------------

KINDS = {
    WRONG: ("occlusion:\nturned wrong", "share of windows", "share"),
    DROP: ("occlusion: true\nclass's probability", "drop (blue: rise)", "signed"),
    CAM: ("Grad-CAM\n", "share of maximum", "share"),
}
OF_SINGLES = {DROP: "occlusion", CAM: "Grad-CAM"}


def rows_of(
    part: Part, explanation: Explanation, means: dict[str, np.ndarray], found: dict, columns: int, input_spec: Input
) -> list[Row]:
    """Return the figure's rows, every expression and every plane of it, with `columns` single samples each.

    Args:
        means: the mean maps of each method, (classes, planes, side, side).
        found: the `planes` and, of each class, the `samples` (see `counts`).
    """
    labels, planes, rows = part.labels.numpy(), found["planes"], []
    crops = None if explanation.crops is None else pixels(torch.from_numpy(explanation.crops), input_spec)
    kinds = {name: KINDS.get(name, own_kind(name)) for name in means}
    scales = {name: scale_of(unit, kind, means[name]) for name, (_, unit, kind) in kinds.items()}
    for code, count in enumerate(found["samples"]):
        own = np.flatnonzero(labels == code)
        for at, plane in enumerate(planes):
            images = part.images.chunk(len(planes), 1)[at]
            face = picture(images[own])
            of_class = [Tile("mean face", face)]
            if crops is not None:
                of_class.append(Tile("its crop by the\nspatial transformer", picture(crops[own])))
            of_class += [Tile(kinds[name][0], face, maps[code, at], scales[name]) for name, maps in means.items()]
            singles = []
            for position, number in enumerate(own[:columns], 1):
                colour = BLUE if explanation.correct[number] else ORANGE
                taken_for = found["samples"][explanation.predicted[number]]["expression"]
                image = picture(images[[number]])
                singles.append(Tile(f"sample {position},\ntaken for", image, caption=taken_for, colour=colour))
                for name, title in OF_SINGLES.items():  # each map has a scale of its own
                    values = explanation.maps[name][number, at]
                    scale = scale_of("", KINDS[name][2], values)
                    singles.append(Tile(f"{title}\n(own scale)", image, values, scale))
            name = f"{count['expression']}\n{count['correct']} of {count['samples']} right" if at == 0 else ""
            name += f"\n{plane}" if len(planes) > 1 else ""
            rows.append(Row(name.strip(), of_class, singles))
    return rows


def own_kind(name: str) -> tuple[str, str, str]:
    """Return head, unit and kind of a map of the system's own attention."""
    unit = "× even weight" if name.startswith("attention") else "share let through"
    return name.replace(", ", ",\n"), unit, "weight"


def pixels(values: Tensor, input_spec: Input) -> Tensor:
    """Return what the network sees (n, channels, side, side) as pixels of 0…255, float."""
    black, white = (normalise(torch.full_like(values, level), input_spec) for level in (0, 255))
    return ((values - black) / (white - black)).clamp(0, 1) * 255


def picture(images: Tensor) -> np.ndarray | None:
    """Return the mean of images (n, channels, side, side) of 0…255 as uint8 (side, side[, 3]); None of none."""
    if not len(images):
        return None
    mean = images.double().mean(0).round().numpy().astype(np.uint8)
    return mean[0] if len(mean) == 1 else mean.transpose(1, 2, 0)
