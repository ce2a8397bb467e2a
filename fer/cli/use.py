"""Commands for other systems' predictions and for the use of a trained network."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Annotated

import typer

from fer import params
from fer.cli.options import Device, Root, announce
from fer.errors import FerError
from fer.folds import folds
from fer.layout import Layout
from fer.params.base import LONGEST_NAME

app = typer.Typer()

logger = logging.getLogger("fer")

RootOfRun = Annotated[
    Path | None, typer.Option(help="Folder that holds the study's artifacts; default: that of the run.")
]
AllThreads = Annotated[int | None, typer.Option(min=1, help="CPU threads; default: all available.")]


@app.command(
    epilog="Example: `fer score theirs.csv --dataset fer2013 --protocol official --name theirs`, after "
    "`fer score --images test/ --dataset fer2013 --protocol official` has written the test images"
)
def score(
    predictions: Annotated[
        Path | None,
        typer.Argument(help="CSV file with the columns sample or path, and label or a probability for each class."),
    ] = None,
    dataset: Annotated[str, typer.Option(help="Dataset: the name of a file in params/datasets/.")] = ...,
    protocol: Annotated[str, typer.Option(help="Protocol whose test part was classified.")] = ...,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the system; default: taken from the file's name."),
    ] = None,
    trained_on: Annotated[str, typer.Option(help="Training data, as stated by the system's authors.")] = "not stated",
    saw_test: Annotated[
        str,
        typer.Option(
            help="Whether the test images were among the training data: no, yes, chosen (not trained on, but used to "
            "choose its epoch or rates) or unknown."
        ),
    ] = "unknown",
    images: Annotated[
        Path | None, typer.Option(help="Write the test images and samples.csv to this folder instead.")
    ] = None,
    root: Root = Path(),
) -> None:
    """Score the predictions of another system on the test part, beside the benchmark's own systems."""
    from fer.stages.score import External, export_test
    from fer.stages.score import score as work

    layout = Layout(root)
    folds(protocol, params.load_dataset(dataset))  # a wrong name is an error now
    if images is not None and predictions is not None:
        raise FerError(f"given {predictions} and --images {images}: either score the predictions or write the images")
    if images is not None:
        print(export_test(dataset, protocol, layout, images))
    elif predictions is None:
        raise FerError("no predictions given: name a CSV file, or use --images FOLDER to write the test images")
    else:
        system = External(name_of(predictions) if name is None else name, trained_on, saw_test)
        announce("score", system.name, lambda: work(predictions, system, dataset, protocol, layout))


def name_of(file: Path) -> str:
    """Return the name that a system gets from its file: `my predictions (2).csv` gives my_predictions_2."""
    name = re.sub(r"[^\w-]+|--+", "_", file.stem, flags=re.ASCII).strip("_-")[:LONGEST_NAME].rstrip("-")
    if not name:
        raise FerError(f"no name of a system can be made of the file name {file.name}: give one by --name")
    return name


@app.command(
    epilog="Examples: `fer predict party.jpg`; `fer predict holiday/ --output faces.csv --draw drawn/`; "
    "`fer predict talk.mp4 --every 5 --smoothing 0.8 --output talk.jsonl`; `fer predict --camera 0`; "
    "`fer predict --model runs/fer2013-dnn/0.0 party.jpg`"
)
def predict(
    sources: Annotated[
        list[Path] | None, typer.Argument(help="Images, videos, or folders of images and videos.", show_default=False)
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="Name of a released model, folder of a trained run, such as runs/fer2013-dnn/0.0, ONNX file of "
            "`fer export`, or model in MLflow's registry, such as models:/fer2013@champion."
        ),
    ] = "fer2013-fer_baseline",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Write a row for each face to this .csv or .jsonl file, once all input is read, not to the terminal."
        ),
    ] = None,
    draw: Annotated[
        Path | None, typer.Option(help="Folder for copies of the pictures and videos with the faces marked.")
    ] = None,
    camera: Annotated[int | None, typer.Option(min=0, help="Read from a camera; 0 is the first. Ctrl-C stops.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Analyse every n-th frame of a video.")] = 1,
    smallest: Annotated[
        int | None,
        typer.Option(
            min=20,
            help="Side of the smallest face to detect, in pixels; default: 40, in videos 80. Smaller is slower.",
        ),
    ] = None,
    smoothing: Annotated[
        float, typer.Option(min=0, max=0.99, help="Weight of a face's earlier frames in its probabilities, in videos.")
    ] = 0.0,
    detector: Annotated[
        str | None,
        typer.Option(
            help="blazeface, or hog (dlib); default: blazeface if ONNX Runtime (extra `export`) is installed."
        ),
    ] = None,
    about: Annotated[bool, typer.Option("--about", help="Describe the model, its accuracy and its limits.")] = False,
    threads: AllThreads = None,
    device: Device = "cpu",
) -> None:
    """Recognise the expression of every face in images, in videos or from a camera."""
    from fer.recognition import load
    from fer.recognition.predict import Options
    from fer.recognition.predict import predict as work
    from fer.recognition.recognizer import detector_name

    if not (sources or about or camera is not None):
        raise FerError("no input given: name images, videos or folders, or use --camera 0 (see fer predict --help)")
    detector_name(detector)  # a wrong name is an error now
    recognizer = load(model, device, threads)
    if about:
        print(recognizer.about)
        if not sources and camera is None:
            return
    line = work(recognizer, sources or [], output, Options(every, smallest, smoothing, draw, detector), camera)
    logger.info("%s", line)


@app.command(
    epilog="Examples: `fer export fer2013-fer_baseline`; `fer export runs/fer2013-dnn/0.0 --output dnn.onnx`; "
    "`fer export fer2013-dnn/0.0 --root studies/mine --quantize int8`; then `fer predict --model dnn.onnx party.jpg`"
)
def export(
    run: Annotated[
        str, typer.Argument(help="Folder of a run, run of the study such as fer2013-dnn/0.0, or released model.")
    ],
    output: Annotated[
        Path | None, typer.Option(help="File to write; default: named after the run, in the current folder.")
    ] = None,
    precision: Annotated[str, typer.Option(help="Precision of the weights: fp32, or fp16 (half the size).")] = "fp32",
    quantize: Annotated[
        str | None,
        typer.Option(
            help="int8: a quarter of the size, calibrated on the run's training images, which must be available."
        ),
    ] = None,
    threads: AllThreads = None,
    root: RootOfRun = None,
) -> None:
    """Export a trained network as one ONNX file, compare it with the original, and measure its accuracy.

    The file takes uint8 images and returns probabilities; its metadata describe how faces are cropped. If the data are
    available, it is compared on the whole test part. A file whose answers differ too much from the network's is
    refused.
    """
    if precision not in ("fp32", "fp16"):
        raise FerError(f"--precision {precision}: expected fp32 or fp16")
    if quantize not in (None, "int8"):
        raise FerError(f"--quantize {quantize}: expected int8")
    if quantize and precision != "fp32":
        raise FerError("give either --precision fp16 or --quantize int8")
    if output is not None and output.suffix != ".onnx":
        raise FerError(f"--output {output}: expected a name that ends in .onnx")
    from fer.exporting.export import export as work
    from fer.exporting.export import file_name, find_run, write
    from fer.machine import cores

    found, form = find_run(run, root), quantize or precision
    target = output or file_name(found, form)
    announce("export", run, lambda: write(work(found, form, threads or cores()), target))


@app.command(
    epilog="Examples: `fer demo --open`; `fer demo runs/fer2013-dnn/0.0 --output dnn.html`; `fer demo dnn.onnx`; "
    "offline: `fer demo --runtime onnxruntime-web-1.30.0.tgz`, after `npm pack onnxruntime-web@1.30.0` elsewhere"
)
def demo(
    run: Annotated[
        str, typer.Argument(help="Released model, folder of a run, run of the study, or ONNX file of `fer export`.")
    ] = "fer2013-fer_baseline",
    output: Annotated[
        Path | None,
        typer.Option(help="Page to write; default: reports/demo.html, to which the study's page links."),
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option(help="Folder or archive of npm's onnxruntime-web; default: fetched once and kept in the cache."),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    threads: AllThreads = None,
    root: RootOfRun = None,
) -> None:
    """Write one HTML page that recognises expressions, from the camera or in pictures; nothing leaves the browser."""
    if output is not None and output.suffix not in (".html", ".htm"):
        raise FerError(f"--output {output}: expected a name that ends in .html")
    from fer.exporting.demo import demo as work
    from fer.exporting.demo import read_model
    from fer.exporting.export import export, find_run
    from fer.exporting.runtime import find_runtime
    from fer.machine import cores

    found = None if run.endswith(".onnx") else find_run(run, root)
    target = output or (found.layout if found else Layout(root or Path())).reports() / "demo.html"

    def write() -> str:
        files = find_runtime(runtime)
        if found is None:
            return work(*read_model(Path(run)), files, target)
        exported = export(found, "fp16", threads or cores())
        return work(exported.data, exported.description, files, target)

    announce("demo", run, write)
    if open_:
        import webbrowser

        webbrowser.open(target.resolve().as_uri())
