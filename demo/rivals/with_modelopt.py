"""nvidia-modelopt, in an environment without ours: `python with_modelopt.py METHOD GRAPH SAMPLES TARGET`.

Attention stays float as it does with us; so does what it would turn to fp16.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

METHODS = {
    "int8-max": ("int8", "max"),
    "int8-entropy": ("int8", "entropy"),
    "int4-rtn_dq": ("int4", "rtn_dq"),
    "int4-awq_clip": ("int4", "awq_clip"),
}


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

    def get_first(self) -> dict[str, Any]:
        with np.load(self.paths[0]) as arrays:
            return dict(arrays)


def main(arguments: list[str]) -> int:
    method, graph, samples, target = arguments
    mode, ranges = METHODS[method]
    tools: Any = import_module("modelopt.onnx.quantization")
    base: Any = import_module("onnxruntime.quantization").CalibrationDataReader

    class Data(Reader, base):  # type: ignore[misc]
        """Which it insists on."""

    tools.quantize(
        graph,
        mode,
        calibration_data_reader=Data(Path(samples)),
        calibration_method=ranges,
        calibration_eps=["cpu"],
        high_precision_dtype="fp32",
        disable_mha_qdq=True,
        block_size=128 if mode == "int4" else None,
        use_external_data_format=True,
        output_path=target,
        log_level="WARNING",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
