"""Coverage-guided fuzzing of what reads archives, tables and images: none of them may raise anything but a FerError.

    pip install atheris          # Linux; not among the locked packages, as not every platform has it
    python tests/fuzz.py archives -max_total_time=600
    python tests/fuzz.py tables -max_total_time=600 -runs=100000
    python tests/fuzz.py images corpus/ -max_total_time=600

What follows the target goes to libFuzzer (`-help=1`). A finding is written to `crash-*`: fix it, and keep it as a test.
"""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fer", "zipfile", "tarfile", "py7zr", "csv"]):
    from fer import params, sources
    from fer.datasets import adapter
    from fer.errors import FerError
    from fer.faces.crops import decode
    from fer.stages.acquire import rows

FOLDER = Path(tempfile.mkdtemp(prefix="fer-fuzz-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
ENDINGS = (".zip", ".tar", ".tar.gz", ".7z")
TABLES = (("fer2013", "fer2013.csv"), ("ferplus", "fer2013new.csv"), ("rafdb", "list_patition_label.txt"))


def archives(data: bytes) -> None:
    """The first byte says what kind of archive the others are called."""
    source = FOLDER / f"a{ENDINGS[data[0] % len(ENDINGS)]}"
    source.write_bytes(data[1:])
    for _, handle in sources.files(source):
        handle.read()


def tables(data: bytes) -> None:
    """The first byte says whose table the others are."""
    dataset, name = TABLES[data[0] % len(TABLES)]
    folder = FOLDER / dataset
    folder.mkdir(exist_ok=True)
    (folder / "fer2013.csv").write_text(f"emotion,pixels,Usage\n0,{' '.join(['7'] * 2304)},Training\n")
    (folder / "train_00001_aligned.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / name).write_bytes(data[1:])
    for _ in rows(adapter(dataset, params.load_dataset(dataset)), folder):
        pass


def images(data: bytes) -> None:
    """The first byte says how many channels are wanted."""
    decode(data[1:], 1 if data[0] % 2 else 3, "an image")


TARGETS: dict[str, Callable[[bytes], None]] = {"archives": archives, "tables": tables, "images": images}


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"{__doc__}\nTargets: {', '.join(TARGETS)}")
    target = TARGETS[sys.argv.pop(1)]

    def run(data: bytes) -> None:
        try:
            target(data or b"\0")
        except FerError:
            return

    atheris.Setup(sys.argv, run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
