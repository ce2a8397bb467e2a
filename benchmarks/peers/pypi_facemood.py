"""PyPI `facemood`: its Keras model on a folder of test images.

    KERAS_BACKEND=torch python pypi_facemood.py test/ pypi-facemood.csv

The image is resized to 170×170 in colour and divided by 255, as its `process_image` does. The package itself opens a
camera and imports TensorFlow; its file of weights is read by Keras alone.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras

CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
SIDE, BATCH = 170, 32


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE)), np.float32) / 255


def main(folder: Path, target: Path) -> None:
    model = keras.models.load_model(
        Path(find_spec("facemood").origin).parent / "model__version1.0.0__.h5", compile=False
    )
    samples = pd.read_csv(folder / "samples.csv")
    answers = [
        model.predict(np.stack([read(folder / name) for name in samples["file"][start : start + BATCH]]), verbose=0)
        for start in range(0, len(samples), BATCH)
    ]
    table = pd.DataFrame(np.concatenate(answers), columns=[f"p_{name}" for name in CLASSES])
    table.insert(0, "sample", samples["sample"])
    table.to_csv(target, index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
