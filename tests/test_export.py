"""What is exported answers as the network that it was made from, says what it is, and needs no PyTorch."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from networks import SMALLER, build
from safetensors.torch import save_file
from test_systems import SYSTEMS

import fer
from fer import params
from fer.errors import FerError
from fer.exporting import examples
from fer.exporting.export import export, find_run
from fer.exporting.parity import Parity, compare
from fer.layout import Layout
from fer.recognition.exported import describe, open_session
from fer.runs import Run, TrainedRun
from fer.stages.evaluate import evaluate
from fer.stages.train import train
from fer.storage import read_json

EXPERIMENT = "fer2013-attentional_cnn"


def untrained(folder: Path, name: str, **changes) -> TrainedRun:
    """Write what training would leave of a system, with random weights, in a folder of its own without data."""
    system, network = params.load_system(name), build(name)
    size = SMALLER.get(name, system.input.size)
    folder.mkdir(parents=True)
    save_file(network.state_dict(), folder / "weights.safetensors")
    data = params.load_dataset("fer2013")
    recipe = system.recipe.model_dump(mode="json") | changes
    recorded = {
        "experiment": f"fer2013-{name}", "dataset": "fer2013", "system": name, "modality": "visible", "views": "face",
        "protocol": "official", "fold": "0", "seed": 0, "threads": 1, "classes": data.classes,
        "alignment": data.alignment.model_dump(), "architecture": system.architecture,
        "input": system.input.model_dump() | {"size": size}, "recipe": recipe,
    }  # fmt: skip
    (folder / "parameters.json").write_text(json.dumps(recorded))
    return TrainedRun(folder, Layout(folder / "nowhere"))


def command(*words, ok=True):
    """Run `fer` as a user does."""
    result = subprocess.run([sys.executable, "-m", "fer", *map(str, words)], capture_output=True, text=True)
    assert not ok or result.returncode == 0, result.stderr
    return result


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_is_exported_and_answers_as_in_pytorch(name, tmp_path):
    exported = export(untrained(tmp_path / "run", name))
    done = exported.description.export
    assert done["largest_difference"] < 1e-4 and done["equal_labels"] == 1
    path = tmp_path / "model.onnx"
    path.write_bytes(exported.data)  # weights inside: alone in its folder
    session = open_session(path, 1)
    described = describe(session, path)
    assert described.model_dump(mode="json") == exported.description.model_dump(mode="json")
    assert session.get_inputs()[0].shape[1:] == [
        described.planes * described.input.channels, described.input.size, described.input.size
    ]  # fmt: skip


def test_the_views_of_an_image_at_test_time_are_in_the_graph(tmp_path):
    exported = export(untrained(tmp_path / "run", "fer_baseline", test_time_flip=True, test_time_crop=46))
    assert exported.description.export["largest_difference"] < 1e-4 and exported.description.test_time_crop == 46


@pytest.fixture(scope="module")
def trained(learnable, tmp_path_factory):
    """A run that was trained and evaluated, and its study's folder."""
    root = tmp_path_factory.mktemp("study") / "study"
    shutil.copytree(learnable.root, root)
    run = Run(EXPERIMENT, "0", 0, {"epochs": 8, "batch_size": 20}, 1, Layout(root))
    train(run, "cpu")
    evaluate(run.as_trained(), "cpu")
    return run


@pytest.mark.parametrize(("form", "options", "share"), [
    ("fp32", (), 1.0), ("fp16", ("--precision", "fp16"), 0.7), ("int8", ("--quantize", "int8"), 0.7)
])  # fmt: skip
def test_the_accuracy_of_what_was_exported_stands_beside_the_original_s(trained, tmp_path, form, options, share):
    path = tmp_path / f"{form}.onnx"
    name = f"{EXPERIMENT}/0.0"
    line = command("export", name, "--root", trained.layout.root, "--output", path, "--threads", 1, *options).stdout
    measured = read_json(trained.folder / "metrics.json")
    described = describe(open_session(path, 1), path)
    assert f"PyTorch {measured['accuracy']:.2%}" in line and "70 test images" in line
    assert described.export["precision"] == form
    assert described.export["original_accuracy"] == pytest.approx(measured["accuracy"])
    assert described.about.accuracy == pytest.approx(measured["accuracy"], abs=0.05) and described.about.n == 70
    assert described.about.synthetic, "the data say so"
    full = export(trained.as_trained()).data
    assert len(path.read_bytes()) <= share * len(full)


def test_an_exported_file_recognises_without_pytorch_what_the_run_recognises(tmp_path):
    path = tmp_path / "model.onnx"
    command("export", "fer2013-fer_baseline", "--output", path, "--threads", 1)
    crops = np.random.default_rng(0).integers(0, 256, (3, 48, 48), np.uint8)
    np.save(tmp_path / "crops.npy", crops)
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import fer, numpy as np\n"
        f"recognizer = fer.load({str(path)!r}, threads=1)\n"
        f"np.save({str(tmp_path / 'answers.npy')!r}, recognizer.classify(np.load({str(tmp_path / 'crops.npy')!r})))\n"
        "recognizer(np.zeros((100, 100, 3), np.uint8))\n"
        "print(recognizer.about)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    original = fer.load("fer2013-fer_baseline", threads=1)
    np.testing.assert_allclose(np.load(tmp_path / "answers.npy"), original.classify(crops), atol=1e-5)
    assert result.stdout.strip() == str(original.about)


def test_predict_takes_an_exported_file(trained, tmp_path):
    path, picture = tmp_path / "model.onnx", tmp_path / "grey.png"
    path.write_bytes(export(trained.as_trained()).data)
    cv2.imwrite(str(picture), np.full((90, 90), 128, np.uint8))
    result = command("predict", picture, "--model", path, "--about")
    assert "SYNTHETIC" in result.stdout and "1 picture, 0 faces" in result.stderr


def test_a_file_that_answers_otherwise_is_refused_with_the_figure():
    generator = np.random.default_rng(0)
    original = generator.dirichlet(np.ones(7), 1000)
    exported = original.copy()
    exported[:100] = np.roll(exported[:100], 1, axis=1)
    parity = compare(original, exported)
    assert parity.equal == 0.9
    for precision in ("fp32", "fp16", "int8"):
        with pytest.raises(FerError, match=r"not exported: on 1,000 test images, 10.0% get another"):
            parity.require(precision, "1,000 test images")
    Parity(0.2, 0.96).require("int8", "1,000 test images")
    with pytest.raises(FerError, match="differ by up to 0.02; expected at most 0.001"):
        Parity(0.02, 1.0).require("fp32", "64 random images")


def test_a_network_that_classifies_at_random_is_not_exported(tmp_path):
    with pytest.raises(FerError, match="dropout on"):
        export(untrained(tmp_path / "run", "dnn", dropout_at_evaluation=True))


def test_int8_needs_the_training_images_and_other_data_are_not_taken_for_them(trained, tmp_path):
    lacking = TrainedRun(trained.folder, Layout(tmp_path))
    with pytest.raises(FerError, match=r"int8 is calibrated on .*index/fer2013.parquet is missing. Name the folder"):
        export(lacking, "int8")
    line = str(export(lacking))
    assert "64 random images" in line and "accuracy not measured" in line
    split = trained.layout.split("fer2013", "official")
    whole = split.read_bytes()
    split.write_bytes(b"another")
    try:
        assert "is not the file" in examples.missing_data(trained.as_trained())
    finally:
        split.write_bytes(whole)


def test_a_run_is_found_by_folder_by_name_and_as_a_released_model(trained):
    root = trained.layout.root
    for name, given in ((trained.folder, None), (f"{EXPERIMENT}/0.0", root), ("fer2013-fer_baseline", root)):
        found = find_run(name, given)
        assert found.layout.root == root and (found.folder / "weights.safetensors").exists()
    with pytest.raises(FerError, match="no model is called 'nothing'"):
        find_run("nothing")


@pytest.mark.parametrize(("words", "said"), [
    (("x", "--precision", "fp8"), "expected fp32 or fp16"),
    (("x", "--quantize", "int4"), "expected int8"),
    (("x", "--quantize", "int8", "--precision", "fp16"), "either"),
    (("x", "--output", "x.pt"), "ends in .onnx"),
    (("x",), "no model is called 'x'"),
    (("x.onnx",), "x.onnx is an ONNX file; expected a released model"),
])  # fmt: skip
def test_what_cannot_be_exported_is_one_error_line(words, said):
    result = command("export", *words, ok=False)
    assert result.returncode == 2 and said in result.stderr and len(result.stderr.splitlines()) == 1


def test_what_is_not_an_exported_file_is_refused_by_name(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    with pytest.raises(FerError, match=r"model.onnx does not exist"):
        fer.load(tmp_path / "model.onnx")
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no ONNX")
    with pytest.raises(FerError, match="is not an ONNX file"):
        fer.load(path)
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    with pytest.raises(FerError, match="was not written by `fer export`"):
        fer.load(path)
    with pytest.raises(FerError, match="runs on the CPU"):
        fer.load(path, device="cuda")
