"""Smaller files: weights in half precision, or whole numbers of eight bits."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer.recognition.exported import IMAGES

if TYPE_CHECKING:
    from onnx import ModelProto

CALIBRATION = 512  # training images that show how large a network's values become
CALIBRATION_BATCH = 32
SMALL = 64  # numbers: a smaller tensor is not worth a node


def to_half(model: ModelProto) -> ModelProto:
    """Return a model whose weights are kept as float16, and become float32 again when the file is loaded.

    So it is as fast as before: CPUs and browsers have no arithmetic for float16. Numbers that float16 cannot hold, and
    small tensors, stay as they are.
    """
    from onnx import ModelProto, TensorProto, helper, numpy_helper

    halved = ModelProto()
    halved.CopyFrom(model)
    graph, casts = halved.graph, []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims, dtype=int) < SMALL:
            continue
        values = numpy_helper.to_array(tensor)
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return halved


def to_int8(model: ModelProto, images: np.ndarray) -> ModelProto:
    """Return a model whose weights are int8, one scale per channel, and whose values are uint8 between its layers.

    Static quantisation: the range of every layer's values is the one that it has for the images.

    Args:
        images: uint8 (n, planes × channels, size, size), of the training part.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            starts = range(0, len(images), CALIBRATION_BATCH)
            self.batches = iter([{IMAGES: images[start : start + CALIBRATION_BATCH]} for start in starts])

        def get_next(self):
            return next(self.batches, None)

    logging.getLogger().addFilter(keep_record)
    try:
        with tempfile.TemporaryDirectory() as folder:
            whole, prepared, quantised = (Path(folder) / f"{name}.onnx" for name in ("whole", "prepared", "quantised"))
            onnx.save(model, whole)
            quant_pre_process(whole, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                quantised,
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,  # weights of 7 bits: without VNNI, sums of two products would overflow
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            return onnx.load(quantised)
    finally:
        logging.getLogger().removeFilter(keep_record)


def keep_record(record: logging.LogRecord) -> bool:
    """Keep the quantiser's advice, which goes to the root logger, from the terminal."""
    return "pre-processing" not in record.getMessage()
