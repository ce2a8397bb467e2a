"""The command line: one sub-command for each stage, and those that use, compare and share what the stages made."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, get_args

import typer
import yaml

from fer import params
from fer.errors import FerError
from fer.folds import folds
from fer.layout import Layout

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="A reproducible benchmark of facial-expression recognition. The stages, in order: "
    "**acquire → index → align → blocks → split → augment → train → evaluate → explain → report**. "
    "`snakemake --cores 8 all` or `dvc repro` runs them all. Each can also be run by hand from the project's folder.",
)
logger = logging.getLogger("fer")

DatasetName = Annotated[str, typer.Argument(help="Dataset: the name of a file in params/datasets/.")]
ExperimentName = Annotated[str, typer.Argument(help="Experiment: the name of a file in params/experiments/.")]
Root = Annotated[Path, typer.Option(help="Folder that holds the study's artifacts.")]
StudyFile = Annotated[Path, typer.Option(help="The study file.")]
Fold = Annotated[str, typer.Option(help="Fold of the experiment's protocol.")]
Seed = Annotated[int, typer.Option(min=0, max=params.LARGEST_SEED, help="Seed of weights, order and augmentation.")]
Device = Annotated[str, typer.Option(help="auto (the first available of CUDA, MPS and CPU), cpu, cuda or mps.")]
Threads = Annotated[
    int, typer.Option(min=1, max=1024, help="CPU threads. With the same number a run is repeatable to the bit.")
]
AllThreads = Annotated[int | None, typer.Option(min=1, help="CPU threads; default: all available.")]
RootOfRun = Annotated[
    Path | None, typer.Option(help="Folder that holds the study's artifacts; default: where the run lies.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override the recipe (epochs=5), the input's size, a backbone's weights, or the draws of each offline "
        "transform. Repeatable.",
    ),
]


@app.callback()
def options(
    log: Annotated[
        Path | None,
        typer.Option(
            help="Write the full log, progress included, to this file. The log of an unfinished attempt is continued."
        ),
    ] = None,
) -> None:
    """Set up logging: warnings on the terminal, everything in the log file."""
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING if log else logging.INFO)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [terminal]
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log, mode="w" if ended(log) else "a", encoding="utf-8"))
        handlers[-1].setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    logger.setLevel(logging.INFO)


def ended(log: Path) -> bool:
    """Return whether a log is of a stage that ended; a retry continues the log of an interrupted or failed one."""
    if not log.exists():
        return False
    with open(log, "rb") as file:
        file.seek(-min(log.stat().st_size, len("[999999.9 s]\n")), os.SEEK_END)
        return file.read().endswith(b" s]\n")


def announce(stage: str, name: str, work: Callable[[], str]) -> None:
    """Do the work and say in one line, on the terminal and in the log, what came of it."""
    started = time.monotonic()
    logger.debug("%s %s: %s", stage, name, " ".join(sys.argv))
    line = f"{stage} {name}: {work()} [{time.monotonic() - started:.1f} s]"
    print(line, flush=True)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(logging.makeLogRecord({"levelname": "INFO", "msg": line}))


@app.command(epilog="Example: `fer acquire fer2013 --source ~/downloads/fer2013.tar.gz`")
def acquire(
    dataset: DatasetName,
    source: Annotated[
        str | None,
        typer.Option(help="synthetic; the path of an archive, file or folder; a URL; kaggle:…; or download."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, max=1_000_000_000, help="Number of faces that the synthetic source draws.")
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

    layout, parameters = Layout(root), params.load_dataset(dataset)
    inputs = (layout.raw(dataset), layout.faces(dataset), layout.index(dataset), layout.crops(dataset))
    outputs = (layout.blocks(dataset), layout.eyes(dataset), layout.mouth(dataset), layout.figure(dataset, "faces"))
    announce("blocks", dataset, lambda: work(*inputs, parameters, *outputs, synthetic=drawn(layout.raw(dataset))))


@app.command(epilog="Example: `fer split ckplus kfold_subject --seed 1`")
def split(
    dataset: DatasetName,
    protocol: Annotated[str, typer.Argument(help=f"One of {', '.join(get_args(params.Protocol))}.")],
    seed: Annotated[int, typer.Option(min=0, max=params.LARGEST_SEED, help="Seed of the random protocols.")] = 0,
    root: Root = Path(),
) -> None:
    """Assign every sample to train, val or test, and audit the split for leaks."""
    from fer.stages.split import split as work

    layout, parameters = Layout(root), params.load_dataset(dataset)
    folds(protocol, parameters)  # a wrong name is an error now
    inputs = (layout.raw(dataset), layout.index(dataset), layout.faces(dataset), layout.crops(dataset))
    outputs = [make(dataset, protocol) for make in (layout.split, layout.audit, layout.audit_page, layout.refused_page)]
    arguments = (*inputs, parameters, protocol, seed, *outputs)
    announce("split", f"{dataset} {protocol}", lambda: work(*arguments, synthetic=drawn(layout.raw(dataset))))


@app.command(epilog="Example: `fer augment EXPERIMENT --fold 0`, for an experiment whose recipe has `offline`")
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
    contempt: Annotated[
        bool, typer.Option("--contempt", help="With --on: count contempt among the expressions.")
    ] = False,
    corrupted: Annotated[
        int, typer.Option(min=1, help="Largest number of test images to corrupt when robustness is measured.")
    ] = 1000,
    threads: Threads = 1,
    device: Device = "auto",
    root: Root = Path(),
) -> None:
    """Evaluate a run on the test part: predictions, metrics, confusion matrix and cost."""
    name, others = f"{experiment} {fold}.{seed}", [dataset_and_protocol(pair) for pair in on or []]
    run = trained(experiment, fold, seed, threads, root)
    from fer.stages.evaluate import evaluate as work
    from fer.stages.evaluate import evaluate_on

    if not on:
        announce("evaluate", name, lambda: work(run, device, corrupted))
    else:
        announce("evaluate", name, lambda: evaluate_on(run, others, contempt, device))


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
    name: Annotated[str | None, typer.Option(help="Name of the system; default: the file's name.")] = None,
    trained_on: Annotated[str, typer.Option(help="Training data, as stated by the system's authors.")] = "not stated",
    saw_test: Annotated[
        str,
        typer.Option(
            help="Whether the test images were among the training data: no, yes, chosen (not trained on, but its epoch "
            "or rates were chosen by them) or unknown."
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
    if images is not None:
        print(export_test(dataset, protocol, layout, images))
    elif predictions is None:
        raise FerError("no predictions given: name a CSV file, or use --images FOLDER to write the test images")
    else:
        system = External(name or predictions.stem, trained_on, saw_test)
        announce("score", system.name, lambda: work(predictions, system, dataset, protocol, layout))


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
            help="Name of a released model, folder of a trained run, such as runs/fer2013-dnn/0.0, or an ONNX file of "
            "`fer export`."
        ),
    ] = "fer2013-fer_baseline",
    output: Annotated[
        Path | None, typer.Option(help="Write a row for each face to this .csv or .jsonl file instead of the terminal.")
    ] = None,
    draw: Annotated[
        Path | None, typer.Option(help="Folder for copies of the pictures and videos with the faces marked.")
    ] = None,
    camera: Annotated[int | None, typer.Option(min=0, help="Read from a camera; 0 is the first. Ctrl-C ends.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Analyse every n-th frame of a video.")] = 1,
    smallest: Annotated[
        int | None,
        typer.Option(
            min=20,
            help="Side of the smallest face to detect, in pixels; default 40, in videos 80. Smaller is slower.",
        ),
    ] = None,
    smoothing: Annotated[
        float, typer.Option(min=0, max=0.99, help="Weight of a face's earlier frames in its probabilities, in videos.")
    ] = 0.0,
    detector: Annotated[
        str, typer.Option(help="hog (dlib), or blazeface: more faces, faster; needs the extra `export`.")
    ] = "hog",
    about: Annotated[bool, typer.Option("--about", help="Describe the model, its accuracy and its limits.")] = False,
    threads: AllThreads = None,
    device: Device = "cpu",
) -> None:
    """Recognise the expression of every face in images, videos or the pictures of a camera."""
    from fer.recognition import load
    from fer.recognition.predict import Options
    from fer.recognition.predict import predict as work
    from fer.recognition.recognizer import find_faces

    if not (sources or about or camera is not None):
        raise FerError("no input given: name images, videos or folders, or use --camera 0 (see fer predict --help)")
    find_faces(detector)  # a wrong name is an error now
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
        str, typer.Argument(help="Folder of a run, a run of the study such as fer2013-dnn/0.0, or a released model.")
    ],
    output: Annotated[Path | None, typer.Option(help="File to write; default: after the run, in this folder.")] = None,
    precision: Annotated[str, typer.Option(help="Precision of the weights: fp32, or fp16 (half the size).")] = "fp32",
    quantize: Annotated[
        str | None,
        typer.Option(help="int8: a quarter of the size, calibrated on the run's training images, which must exist."),
    ] = None,
    threads: AllThreads = None,
    root: RootOfRun = None,
) -> None:
    """Export a trained network as one ONNX file, compare it with the original, and measure its accuracy.

    The file takes uint8 images and returns probabilities; its metadata describe how faces are cropped. Where the data
    are at hand, it is compared on the whole test part. A file whose answers differ from its network's is refused.
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
    "offline `fer demo --runtime onnxruntime-web-1.30.0.tgz`, after `npm pack onnxruntime-web@1.30.0` elsewhere"
)
def demo(
    run: Annotated[
        str, typer.Argument(help="Released model, folder of a run, run of the study, or an ONNX file of `fer export`.")
    ] = "fer2013-fer_baseline",
    output: Annotated[
        Path | None,
        typer.Option(help="Page to write; default: reports/demo.html, beside the study's page, which links it."),
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


reporting = typer.Typer(rich_markup_mode="markdown")
app.add_typer(reporting, name="report")


@reporting.callback(invoke_without_command=True, epilog="Example: `fer report --study params/study.yaml`")
def report(context: typer.Context, study: StudyFile = Path("params/study.yaml")) -> None:
    """Make the tables, figures and pages of a study, or some of them."""
    if context.invoked_subcommand:
        return
    from fer.stages.report import report as work

    loaded = params.load_study(study)
    announce("report", loaded.name, lambda: work(loaded))


@reporting.command(epilog="Example: `fer report tables --study params/study.yaml`")
def tables(study: StudyFile = Path("params/study.yaml")) -> None:
    """Make the tables of a study, and reports/results.json, of which its page is made."""
    from fer.stages.tables import tables as work

    loaded = params.load_study(study)
    announce("report", f"{loaded.name} tables", lambda: work(loaded))


@reporting.command(epilog="Example: `fer report figures ckplus-attentional_cnn --fold 0 --fold 1`")
def figures(
    experiment: ExperimentName,
    fold: Annotated[list[str] | None, typer.Option(help="Fold to show. Repeatable; default: 0.")] = None,
    seed: Annotated[list[int] | None, typer.Option(min=0, help="Seed to show. Repeatable; default: 0.")] = None,
    root: Root = Path(),
) -> None:
    """Draw the figures of an experiment: confusion matrix, learning curves and reliability diagram."""
    runs = [resolve(experiment, each, number, None, 1, root) for each in fold or ["0"] for number in seed or [0]]
    from fer.reporting.results import Result
    from fer.stages.figures import figures as work

    announce("report", f"{experiment} figures", lambda: work(Result(runs), Layout(root)))


@reporting.command(epilog="Example: `fer report real --study params/studies/real.yaml`")
def real(
    study: StudyFile = Path("params/studies/real.yaml"),
    root: Annotated[
        Path | None, typer.Option(help="Folder that holds the study's artifacts, if it is not the study's own.")
    ] = None,
    into: Annotated[Path, typer.Option(help="Folder of the report and, below it, of the predictions.")] = Path(
        "reports/real"
    ),
) -> None:
    """Keep the predictions of finished runs and outside scores, and write the report on real faces from all of them."""
    loaded = params.load_study(study)
    from fer.stages.real import keep

    announce("report", f"{loaded.name} faces", lambda: keep(loaded, into, root))


@reporting.command(epilog="Example: `fer report page`")
def page(root: Root = Path()) -> None:
    """Make the page, the Markdown and the model cards, of reports/results.json and the figures."""
    from fer.stages.page import page as work

    announce("report", "page", lambda: work(Layout(root)))


@app.command(epilog="Example: `MLFLOW_TRACKING_URI=http://127.0.0.1:5000 fer track`")
def track(
    study: StudyFile = Path("params/study.yaml"),
    drawn: Annotated[bool, typer.Option("--drawn", help="Register networks of drawn faces, too.")] = False,
) -> None:
    """Bring MLflow up to date with the study's runs, and register the best one of each dataset as a model."""
    from fer.exporting.champion import register
    from fer.runs import study_runs
    from fer.tracking.projection import project

    loaded = params.load_study(study)
    runs = study_runs(loaded)
    announce("track", loaded.name, lambda: f"{project(runs, Path(loaded.root))}; {register(runs, drawn)}")


def drawn(raw: Path) -> bool:
    """Return whether the originals are synthetic: pictures of them are stamped so."""
    from fer.stages.originals import DRAWN, says

    return bool(says(raw, DRAWN))


def dataset_and_protocol(pair: str) -> tuple[str, str]:
    """Return what an option --on names, both checked before torch is imported."""
    dataset, colon, protocol = pair.partition(":")
    parameters = params.load_dataset(dataset)
    if not colon:
        raise FerError(f"--on {pair}: expected DATASET:PROTOCOL, such as ckplus:kfold_subject")
    folds(protocol, parameters)
    return dataset, protocol


def settings(given: list[str] | None) -> dict:
    """Return the keys and values of `--set`."""
    values = {}
    for setting in given or []:
        name, equals, value = setting.partition("=")
        if not equals:
            raise FerError(f"--set {setting}: expected KEY=VALUE, such as epochs=5")
        values[name] = yaml.safe_load(value)
    return values


def resolve(
    experiment: str,
    fold: str,
    seed: int,
    changes: list[str] | None,
    threads: int,
    root: Path,
    bf16_on_cpu: bool = False,
):
    """Return the run that the options describe, checked before torch is imported."""
    from fer.runs import Run

    run = Run(experiment, fold, seed, settings(changes), threads, Layout(root), bf16_on_cpu)
    _ = run.system  # a wrong override is an error now
    return run


def trained(experiment: str, fold: str, seed: int, threads: int, root: Path):
    """Return the trained run that the options name, as its own folder describes it."""
    from fer.runs import TrainedRun

    layout = Layout(root)
    run = TrainedRun(layout.run(experiment, fold, seed), layout, threads)
    if not run.folder.exists():
        resolve(experiment, fold, seed, None, threads, root)  # a wrong name or fold is said to be one
    _ = run.parameters  # what is missing is an error now
    return run


def out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out: torch has an error of its own for this on a GPU, and only words on a CPU."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't alloc" in str(error)


def main() -> None:
    """Run the command line; an error that the user can put right is one line and exit status 2."""
    try:
        app(prog_name="fer")
    except FerError as error:
        logger.error("error: %s", error)
        sys.exit(2)
    except OSError as error:
        logger.error("error: %s", error)
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        logger.error("error: out of memory. Run fewer jobs at once (snakemake --cores)")
        sys.exit(1)


if __name__ == "__main__":
    main()
