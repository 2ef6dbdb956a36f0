"""ONNX Runtime's quantisers, in an environment without ours: `python with_onnxruntime.py METHOD GRAPH SAMPLES TARGET`.

Set as TensorRT wants it and as serves it best: symmetric, a scale for each channel of a weight, and only products
with stored weights, whose results are not rounded as they would be if nothing were said (23.5 dB instead of 29).
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

RANGES = {"int8-minmax": "MinMax", "int8-entropy": "Entropy", "int8-percentile": "Percentile"}


class Reader:
    """Samples one by one, as both rivals want them."""

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


def int8(method: str, graph: str, samples: Path, target: str) -> None:
    tools: Any = import_module("onnxruntime.quantization")

    class Data(Reader, tools.CalibrationDataReader):  # type: ignore[misc]
        """Which it insists on."""

    tools.quantize_static(
        graph,
        target,
        Data(samples),
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        use_external_data_format=True,
        calibrate_method=tools.CalibrationMethod[RANGES[method]],
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "MatMulConstBOnly": True,
            "OpTypesToExcludeOutputQuantization": ["MatMul"],
        },
    )


def int4(graph: str, target: str) -> None:
    tools: Any = import_module("onnxruntime.quantization.matmul_nbits_quantizer")
    formats: Any = import_module("onnxruntime.quantization.quant_utils").QuantFormat
    how = tools.DefaultWeightOnlyQuantConfig(128, is_symmetric=True, quant_format=formats.QDQ, bits=4)
    quantiser = tools.MatMulNBitsQuantizer(graph, algo_config=how)
    quantiser.process()
    quantiser.model.save_model_to_file(target, use_external_data_format=True)


def main(arguments: list[str]) -> int:
    method, graph, samples, target = arguments
    if method == "int4-rtn":
        int4(graph, target)
    else:
        int8(method, graph, Path(samples), target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
