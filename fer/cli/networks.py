"""Commands of the stages that train and examine networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fer import params
from fer.cli.options import Device, ExperimentName, Fold, Overrides, Root, Seed, Threads, announce
from fer.cli.runs import resolve, settings, trained
from fer.errors import FerError
from fer.folds import folds
from fer.layout import Layout

app = typer.Typer()


@app.command(epilog="Example: `fer augment EXPERIMENT --fold 0`, for an experiment whose recipe has the key `offline`")
def augment(experiment: ExperimentName, fold: Fold = "0", set_: Overrides = None, root: Root = Path()) -> None:
    """Make the offline variants of a fold's training images, as the recipe specifies."""
    run = resolve(experiment, fold, 0, set_, 1, root)
    from fer.stages.augment import augment as work

    announce(
        "augment", f"{experiment} {fold}", lambda: work(run, Layout(root).figure(f"{experiment}.{fold}", "augment"))
    )


@app.command(epilog="Example: `fer train fer2013-attentional_cnn --seed 1 --set epochs=5`")
def train(
    experiment: ExperimentName,
    fold: Fold = "0",
    seed: Seed = 0,
    set_: Overrides = None,
    threads: Threads = 1,
    device: Device = "auto",
    bf16_on_cpu: Annotated[
        bool,
        typer.Option(
            "--bf16-on-cpu",
            help="Apply the recipe's bf16-mixed on a CPU that supports bfloat16, too. Faster, but the "
            "bits of the result then depend on the machine.",
        ),
    ] = False,
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0, help="Shortest time between two checkpoints, in seconds; 0: one after each epoch.")
    ] = 60,
    root: Root = Path(),
) -> None:
    """Train one run; an interrupted one resumes from its last saved epoch."""
    run = resolve(experiment, fold, seed, set_, threads, root, bf16_on_cpu)
    if run.recipe.start_from:
        from fer.starting import require_start

        require_start(run)
    from fer.stages.train import train as work

    announce("train", f"{experiment} {fold}.{seed}", lambda: work(run, device, checkpoint_seconds))


@app.command(
    epilog="Example: `fer evaluate fer2013-attentional_cnn --seed 1`; on other datasets "
    "`fer evaluate fer2013-attentional_cnn --on ckplus:kfold_subject --on rafdb:official`"
)
def evaluate(
    experiment: ExperimentName,
    fold: Fold = "0",
    seed: Seed = 0,
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATASET:PROTOCOL",
            help="Test on another dataset instead, on the expressions that both have. Repeatable. "
            "Overwrites the result of an earlier call with --on.",
        ),
    ] = None,
    corrupted: Annotated[
        int | None,
        typer.Option(
            min=1, help="Largest number of test images to corrupt when robustness is measured; default: 1000."
        ),
    ] = None,
    threads: Threads = 1,
    device: Device = "auto",
    root: Root = Path(),
) -> None:
    """Evaluate a run on the test part: predictions, metrics, confusion matrix and cost."""
    if corrupted and on:
        raise FerError("--corrupted is given with --on, where no image is corrupted; give one of them")
    name, others = f"{experiment} {fold}.{seed}", [dataset_and_protocol(pair) for pair in on or []]
    run = trained(experiment, fold, seed, threads, root)
    from fer.stages.evaluate import evaluate as work
    from fer.stages.evaluate import evaluate_on

    if not on:
        announce("evaluate", name, lambda: work(run, device, corrupted))
    else:
        announce("evaluate", name, lambda: evaluate_on(run, others, device))


@app.command(epilog="Example: `fer explain fer2013-attentional_cnn --seed 1 --set samples=4`")
def explain(
    experiment: ExperimentName,
    fold: Fold = "0",
    seed: Seed = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override params/explain.yaml, such as samples=4. Repeatable."),
    ] = None,
    threads: Threads = 1,
    device: Device = "auto",
    root: Root = Path(),
) -> None:
    """Compute and score saliency maps of a trained network: occlusion, Grad-CAM and its own attention."""
    overrides = settings(set_)
    params.load_explain(overrides)  # a wrong one is an error now
    run = trained(experiment, fold, seed, threads, root)
    from fer.stages.explain import explain as work

    announce("explain", f"{experiment} {fold}.{seed}", lambda: work(run, device, overrides))


def dataset_and_protocol(pair: str) -> tuple[str, str]:
    """Return dataset and protocol of an option --on, checked before torch is imported."""
    dataset, colon, protocol = pair.partition(":")
    parameters = params.load_dataset(dataset)
    if not colon:
        raise FerError(f"--on {pair}: expected DATASET:PROTOCOL, such as ckplus:kfold_subject")
    folds(protocol, parameters)
    return dataset, protocol
