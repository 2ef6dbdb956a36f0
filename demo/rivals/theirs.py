"""The field's quantisers, in environments without ours: `python -P theirs.py TOOL METHOD GRAPH SAMPLES TARGET`.

Nothing but numpy and the tool itself is imported, and all of it is in this file: what is one tool's environment is not
the other's. Both are set as TensorRT wants it and as serves them best: symmetric, and what stays float with us stays
float with them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

Work = Callable[[str, Path, str], None]  # the graph, the folder of samples, the graph to be made


class Reader:
    """Samples one by one, as both tools want them."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.npz"))
        self.rewind()

    def rewind(self) -> None:
        self.waiting = list(self.paths)

    def get_next(self) -> dict[str, Any] | None:
        if not self.waiting:
            return None
        with np.load(self.waiting.pop(0)) as arrays:
            return dict(arrays)

    def get_first(self) -> dict[str, Any]:
        with np.load(self.paths[0]) as arrays:
            return dict(arrays)


def reader_of(samples: Path) -> Any:
    """Of the class that both tools insist on."""
    base: Any = import_module("onnxruntime.quantization").CalibrationDataReader

    class Data(Reader, base):  # type: ignore[misc]
        """Samples for ONNX Runtime."""

    return Data(samples)


def onnxruntime_int8(graph: str, samples: Path, target: str, ranges: str) -> None:
    """A scale for each channel of a weight, and only products with stored weights.

    Their results are not rounded, as they would be if nothing were said (23.5 dB instead of 29).
    """
    tools: Any = import_module("onnxruntime.quantization")
    tools.quantize_static(
        graph,
        target,
        reader_of(samples),
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        use_external_data_format=True,
        calibrate_method=tools.CalibrationMethod[ranges],
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "MatMulConstBOnly": True,
            "OpTypesToExcludeOutputQuantization": ["MatMul"],
        },
    )


def onnxruntime_int4(graph: str, _: Path, target: str) -> None:
    tools: Any = import_module("onnxruntime.quantization.matmul_nbits_quantizer")
    formats: Any = import_module("onnxruntime.quantization.quant_utils").QuantFormat
    how = tools.DefaultWeightOnlyQuantConfig(128, is_symmetric=True, quant_format=formats.QDQ, bits=4)
    quantiser = tools.MatMulNBitsQuantizer(graph, algo_config=how)
    quantiser.process()
    quantiser.model.save_model_to_file(target, use_external_data_format=True)


def modelopt(graph: str, samples: Path, target: str, mode: str, ranges: str) -> None:
    """Attention stays float as it does with us; so does what it would turn to fp16."""
    tools: Any = import_module("modelopt.onnx.quantization")
    tools.quantize(
        graph,
        mode,
        calibration_data_reader=reader_of(samples),
        calibration_method=ranges,
        calibration_eps=["cpu"],
        high_precision_dtype="fp32",
        disable_mha_qdq=True,
        block_size=128 if mode == "int4" else None,
        use_external_data_format=True,
        output_path=target,
        log_level="WARNING",
    )


METHODS: Mapping[str, Mapping[str, Work]] = {
    "onnxruntime": {
        "int8-minmax": partial(onnxruntime_int8, ranges="MinMax"),
        "int8-percentile": partial(onnxruntime_int8, ranges="Percentile"),
        "int8-entropy": partial(onnxruntime_int8, ranges="Entropy"),
        "int4-rtn": onnxruntime_int4,
    },
    "modelopt": {
        "int8-max": partial(modelopt, mode="int8", ranges="max"),
        "int8-entropy": partial(modelopt, mode="int8", ranges="entropy"),
        "int4-rtn_dq": partial(modelopt, mode="int4", ranges="rtn_dq"),
        "int4-awq_clip": partial(modelopt, mode="int4", ranges="awq_clip"),
    },
}


def main(arguments: list[str]) -> int:
    tool, method, graph, samples, target = arguments
    METHODS[tool][method](graph, Path(samples), target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
