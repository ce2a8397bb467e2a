"""Commands of the stages that make data: from an archive to a split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from fer import params
from fer.cli.options import DatasetName, Root, announce
from fer.folds import folds
from fer.layout import Layout

app = typer.Typer()


@app.command(epilog="Example: `fer acquire fer2013 --source ~/downloads/fer2013.tar.gz`")
def acquire(
    dataset: DatasetName,
    source: Annotated[
        str | None,
        typer.Option(help="synthetic; the path of an archive, file or folder; a URL; kaggle:…; or download."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, max=1_000_000_000, help="Number of faces that the synthetic source generates.")
    ] = None,
    root: Root = Path(),
) -> None:
    """Read every original image of a dataset into data/raw/."""
    from fer.datasets import adapter
    from fer.stages.acquire import acquire as work

    parameters = params.load_dataset(dataset)
    arguments = (source or parameters.source, samples or parameters.samples, Layout(root).raw(dataset))
    announce("acquire", dataset, lambda: work(adapter(dataset, parameters), *arguments))


@app.command(epilog="Example: `fer index fer2013`")
def index(dataset: DatasetName, root: Root = Path()) -> None:
    """Label every original, and compare the counts of classes and parts with the official ones."""
    from fer.datasets import adapter
    from fer.stages.index import index as work

    layout = Layout(root)
    files = (layout.raw(dataset), layout.index(dataset), layout.counts(dataset))
    announce("index", dataset, lambda: work(adapter(dataset, params.load_dataset(dataset)), *files))


@app.command(epilog="Example: `fer align fer2013`")
def align(dataset: DatasetName, root: Root = Path()) -> None:
    """Detect faces and their 68 landmarks, and crop the faces."""
    from fer.stages.align import align as work

    layout, parameters = Layout(root), params.load_dataset(dataset)
    inputs = (layout.raw(dataset), layout.index(dataset))
    outputs = (layout.faces(dataset), layout.crops(dataset), layout.faces_counts(dataset))
    announce("align", dataset, lambda: work(*inputs, parameters, *outputs))


@app.command(epilog="Example: `fer blocks ckplus`")
def blocks(dataset: DatasetName, root: Root = Path()) -> None:
    """Crop the eyes and the mouth of every face, and draw a sheet of samples."""
    from fer.stages.blocks import blocks as work
    from fer.stages.originals import is_synthetic

    layout, parameters = Layout(root), params.load_dataset(dataset)
    raw = layout.raw(dataset)
    inputs = (raw, layout.faces(dataset), layout.index(dataset), layout.crops(dataset))
    outputs = (layout.blocks(dataset), layout.eyes(dataset), layout.mouth(dataset), layout.figure(dataset, "faces"))
    announce("blocks", dataset, lambda: work(*inputs, parameters, *outputs, synthetic=is_synthetic(raw)))


@app.command(epilog="Example: `fer split ckplus kfold_subject --seed 1`")
def split(
    dataset: DatasetName,
    protocol: Annotated[str, typer.Argument(help=f"One of {', '.join(get_args(params.Protocol))}.")],
    seed: Annotated[int, typer.Option(min=0, max=params.LARGEST_SEED, help="Seed of the random protocols.")] = 0,
    root: Root = Path(),
) -> None:
    """Assign every sample to train, val or test, and audit the split for leaks."""
    from fer.stages.originals import is_synthetic
    from fer.stages.split import split as work

    layout, parameters = Layout(root), params.load_dataset(dataset)
    folds(protocol, parameters)  # a wrong name is an error now
    inputs = (layout.raw(dataset), layout.index(dataset), layout.faces(dataset), layout.crops(dataset))
    outputs = [make(dataset, protocol) for make in (layout.split, layout.audit, layout.audit_page, layout.refused_page)]
    arguments = (*inputs, parameters, protocol, seed, *outputs)
    announce("split", f"{dataset} {protocol}", lambda: work(*arguments, synthetic=is_synthetic(layout.raw(dataset))))
