"""PyPI `fer`: its default model (`FER()._classify_emotions`, tflite) on a folder of test images.

    python pypi_fer.py test/ pypi-fer.csv

The image is resized to 64×64, scaled to [-1, 1] and classified, as `FER.detect_emotions` does with a face that it found
(there it adds a margin of 10 pixels around the detector's box first, which these images, already cut, do not have).
The package is not imported: that needs TensorFlow and an old setuptools; its file of weights is read as it is.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from ai_edge_litert.interpreter import Interpreter

CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]  # FER._get_labels
SIDE = 64


def main(folder: Path, target: Path) -> None:
    weights = Path(find_spec("fer").origin).parent / "data" / "emotion_model_quantized.tflite"
    model = Interpreter(str(weights), num_threads=1)
    model.allocate_tensors()
    given, answered = model.get_input_details()[0]["index"], model.get_output_details()[0]["index"]
    samples = pd.read_csv(folder / "samples.csv")
    answers = []
    for name in samples["file"]:
        face = cv2.resize(cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE), (SIDE, SIDE)).astype(np.float32)
        model.set_tensor(given, ((face / 255 - 0.5) * 2)[None, :, :, None])
        model.invoke()
        answers.append(model.get_tensor(answered)[0].copy())
    table = pd.DataFrame(answers, columns=[f"p_{name}" for name in CLASSES])
    table.insert(0, "sample", samples["sample"])
    table.to_csv(target, index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
