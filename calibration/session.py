"""ONNX Runtime as a calibration runs it: graphs that are in memory, and faults that say what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from edge_runtime.backends.ort import FATAL, PROVIDERS, imported_onnxruntime
from edge_runtime.backends.ort_faults import named_faults
from edge_runtime.errors import MachineFault, one_line

Feeds = Mapping[str, npt.NDArray[Any]]
IF_SHORT = "use fewer threads (`taskset -c 0 edge-vl calibrate ...`) or --observer minmax"


class Session:
    """On a model in memory whose weights lie in `folder`. `role` is what it is called in faults."""

    def __init__(self, model: ir.Model, folder: Path, threads: int, role: str) -> None:
        self._role = role
        onnxruntime = imported_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = FATAL
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
        options.add_session_config_entry("session.disable_prepacking", "1")  # it would copy every weight
        data = ir.to_proto(model).SerializeToString()
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=PROVIDERS)
        except Exception as error:
            what = f"ONNX Runtime {onnxruntime.__version__} cannot open {role} to measure it"
            fix = f"{IF_SHORT} if memory is short; otherwise report this line"
            raise MachineFault("EVL-ENGINE-ORT", what, one_line(str(error)), fix) from error

    @property
    def needed(self) -> frozenset[str]:
        """What it wants to be fed."""
        return frozenset(each.name for each in self._session.get_inputs())

    def run(self, names: Sequence[str] | None, feeds: Feeds) -> list[npt.NDArray[Any]]:
        """The outputs of these names, or all."""
        with named_faults(self._role, IF_SHORT):
            found: list[npt.NDArray[Any]] = self._session.run(names, dict(feeds))
        return found
