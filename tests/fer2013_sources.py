"""Tiny copies of FER2013 in each of its layouts."""

import io
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
USAGES = ("Training", "PublicTest", "PrivateTest")


def samples(count=42):
    """Return (code, usage, image) of random images, every class in every part."""
    images = np.random.default_rng(0).integers(0, 256, (count, 48, 48), dtype=np.uint8)
    return [(number % 7, USAGES[number // 7 % 3], image) for number, image in enumerate(images)]


def numbers(image):
    return " ".join(map(str, image.ravel()))


def write_csv(path: Path, header="emotion,pixels,Usage", only=USAGES) -> Path:
    """Write a table whose columns stand in the order of its header."""
    lines = [header]
    for code, usage, image in samples():
        values = {"emotion": code, "pixels": numbers(image), "Usage": usage}
        if usage in only:
            lines.append(",".join(str(values[column.strip()]) for column in header.split(",")))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def write_tar(path: Path) -> Path:
    table = write_csv(path.with_name("fer2013.csv"))
    with tarfile.open(path, "w:gz") as archive:
        archive.add(table, "fer2013/fer2013.csv")
        archive.addfile(tarfile.TarInfo("fer2013/README"), io.BytesIO())
    table.unlink()
    return path


def folder_files(extension=".png"):
    """Yield (path, bytes) of the folder form."""
    for number, (code, usage, image) in enumerate(samples()):
        top = "train" if usage == "Training" else "test"
        name = f"{top}/{CLASSES[code]}/{usage}_{number}{extension}"
        yield name, cv2.imencode(".png", image)[1].tobytes()


def write_folders(path: Path, extension=".png") -> Path:
    for name, data in folder_files(extension):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def write_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in folder_files():
            archive.writestr(f"archive/{name}", data)
    return path
