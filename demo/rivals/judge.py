"""How near a quantised graph comes to the float one, whoever made it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.backends.ort import FATAL, PROVIDERS, imported_onnxruntime

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]


def literal_session(path: Path, threads: int) -> Any:
    """The graph as it is written: no fusion that would round activations again, or less."""
    onnxruntime = imported_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = FATAL
    return onnxruntime.InferenceSession(str(path), options, providers=PROVIDERS)


def results_of(path: Path, output: str, samples: Sequence[Feeds], threads: int) -> list[Array]:
    """`output` of the graph for each sample; feeds are given in the types that the graph asks for."""
    session = literal_session(path, threads)
    dtypes = {port.name: dtype_from_type(port.type) for port in session.get_inputs()}
    return [
        session.run(
            [output],
            {name: np.asarray(array, dtypes[name]) for name, array in feeds.items() if name in dtypes},
        )[0].astype(np.float32)
        for feeds in samples
    ]


def dtype_from_type(name: str) -> str:
    return {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int64)": "int64"}[name]


def sqnr_db(wanted: Sequence[Array], found: Sequence[Array]) -> float:
    """The power of what was wanted over that of the difference, over all samples; infinite where there is none."""
    power = sum(float(np.square(each, dtype=np.float64).sum()) for each in wanted)
    lost = sum(
        float(np.square(np.subtract(one, other, dtype=np.float64)).sum())
        for one, other in zip(wanted, found, strict=True)
    )
    return 10 * math.log10(power / lost) if lost else math.inf
