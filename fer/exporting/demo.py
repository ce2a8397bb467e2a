"""demo: one HTML file that recognises expressions in a browser, by camera or picture, and sends no requests."""

from __future__ import annotations

import base64
import gzip
import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fer.errors import FerError
from fer.exporting.runtime import SCRIPT, WASM
from fer.recognition.exported import Description, describe, open_session
from fer.recognition.recognizer import PRETRAINED, require_one_photograph
from fer.storage import write_text

DETECTOR, DETECTOR_SIDE, DETECTOR_SCORE = PRETRAINED / "blazeface" / "model.onnx", 128, 0.65
LARGEST = 60_000_000  # bytes of a model: a page of a hundred megabytes is nobody's demo


def demo(model: bytes, description: Description, runtime: dict[str, bytes], output: Path) -> str:
    """Write the page of an exported model; return a line for the terminal.

    Args:
        model: the bytes of an ONNX file that `fer export` wrote.
        runtime: the files of ONNX Runtime Web (`fer.exporting.runtime`).

    Raises:
        FerError: the network needs more of a face than one photograph shows, or is too large for a page.
    """
    require_one_photograph(description.about.name, description.modality, description.views)
    if description.eyes is None or description.planes != 1:
        raise FerError(f"{description.about.name} does not say how faces are cropped: train again with this version")
    if len(model) > LARGEST:
        raise FerError(
            f"the model has {len(model) / 1e6:.0f} MB; a page holds up to {LARGEST / 1e6:.0f}. Export it with "
            "--quantize int8, and make the page of that file"
        )
    files = {"runtime": runtime[SCRIPT], "wasm": runtime[WASM], "detector": DETECTOR.read_bytes(), "network": model}
    write_text(output, page(description, files))
    return f"{output} ({output.stat().st_size / 1e6:.1f} MB): open it in a browser"


def page(description: Description, files: dict[str, bytes]) -> str:
    """Return the page, with `files` gzipped inside."""
    loader = PackageLoader("fer.exporting", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)

    def text(name: str) -> Markup:
        return Markup(loader.get_source(environment, name)[0])  # noqa: S704  # our own files

    facts = {
        "classes": description.classes,
        "size": description.input.size,
        "channels": description.input.channels,
        "grey": 1 in (description.input.channels, description.crop_channels),  # colours were never shown to it
        "eyes": description.eyes,
        "detector_side": DETECTOR_SIDE,
        "detector_score": DETECTOR_SCORE,
    }
    return environment.get_template("demo.html.j2").render(
        about=description.about,
        classes=description.classes,
        size=facts["size"],
        channels=facts["channels"],
        facts=facts,
        runtime=version_of(files["runtime"]),
        css=text("demo.css"),
        js=text("demo.js"),
        files={name: Markup(as_base64(data)) for name, data in files.items()},  # noqa: S704  # letters of base64
    )


def as_base64(data: bytes) -> str:
    """Return data gzipped and in base64, the same for the same data."""
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def version_of(script: bytes) -> str:
    """Return the version of ONNX Runtime Web that its script names."""
    found = re.search(rb"ONNX Runtime Web v([\w.-]+)", script[:500])
    return found[1].decode() if found else ""


def read_model(path: Path) -> tuple[bytes, Description]:
    """Return the bytes of a file of `fer export` and what it says of itself."""
    if not path.is_file():
        raise FerError(f"{path} does not exist; `fer export` writes such a file")
    return path.read_bytes(), describe(open_session(path), path)
