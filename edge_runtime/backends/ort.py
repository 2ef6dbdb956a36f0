"""ONNX Runtime: on the CPU the engine that works anywhere, on a GPU the one beside TensorRT."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.backends.backend import Array
from edge_runtime.backends.ort_decoder import OrtDecoder
from edge_runtime.backends.ort_faults import is_shortage, named_faults
from edge_runtime.backends.ort_library import FATAL as FATAL
from edge_runtime.backends.ort_library import check_opens, onnxruntime_for, session_from_model
from edge_runtime.backends.ort_library import imported_onnxruntime as imported_onnxruntime
from edge_runtime.backends.provider import CPU, Provider
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.engines.key import digest_of_graph
from edge_runtime.engines.shelf import user_cache
from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.manifest import PAST, GraphEntry
from edge_runtime.publish import named_setup_faults
from edge_runtime.spec import Role

PROVIDERS = [CPU.name]
DIGITS = 16


class OrtBackend:
    """Sessions are opened when first asked for and kept until `close`.

    The `ort` graphs are made for it; those of other dialects run too, slower, to be compared with them.
    `engines` is where the TensorRT provider keeps what it builds; the user's cache unless said.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int | None = None,
        dialect: Dialect = "ort",
        provider: Provider = CPU,
        engines: Path | None = None,
    ) -> None:
        self.bundle = bundle
        self.dialect = dialect
        self.threads = threads or len(os.sched_getaffinity(0))
        self.provider = provider
        self.engines = engines
        self._sessions: dict[Role, Any] = {}

    @property
    def name(self) -> str:
        return self.provider.engine

    def graph(self, role: Role) -> OrtGraph:
        return OrtGraph(self.session(role), self.bundle.graph(role, self.dialect))

    def decoder(self, batch: int, capacity: int) -> OrtDecoder:
        spec = self.bundle.spec.decoder
        entry = self.bundle.graph("decoder", self.dialect)
        check_cache(entry, self.provider)
        session = self.session("decoder")
        return OrtDecoder(session, entry, spec, batch, capacity, self.provider.device)

    def session(self, role: Role) -> Any:
        if role not in self._sessions:
            entry = self.bundle.graph(role, self.dialect)
            check_opens(entry)
            provider = self._provider_for(entry)
            is_mapped = entry.precision == "fp32"
            path = self.bundle.path_of(entry)
            self._sessions[role] = session_from_file(path, self.threads, is_mapped, provider)
        return self._sessions[role]

    def check(self) -> None:
        """EVL-ENGINE-CACHE where the installed ONNX Runtime is known to open no such decoder; opens nothing."""
        check_opens(self.bundle.graph("decoder", self.dialect))

    def check_graphs(self) -> None:
        """Opens every graph once, and closes it. EVL-ENGINE-ORT names the first that ONNX Runtime does not take."""
        for entry in self.bundle.manifest.graphs:
            if entry.dialect == self.dialect:
                session_from_file(self.bundle.path_of(entry), 1, is_mapped=True, is_tried=True)

    def close(self) -> None:
        self._sessions.clear()

    def _provider_for(self, entry: GraphEntry) -> Provider:
        provider = self.provider.for_decoder if entry.role == "decoder" else self.provider
        if not provider.builds_engines:
            return provider
        # ONNX Runtime names an engine by its graph, not by its weights, and would take another bundle's for this one's.
        digest = digest_of_graph(self.bundle, entry)[:DIGITS]
        version = imported_onnxruntime().__version__
        usual = self.engines or user_cache() / "edge-vl" / "onnxruntime"
        folder = usual / f"{entry.role}-{digest}-{version}"
        with named_setup_faults(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return provider.keeping(folder)


def check_cache(entry: GraphEntry, provider: Provider) -> None:
    """EVL-ENGINE-PRECISION where the decoder's attention would run on the CPU, and its cache be copied there and back."""
    dtype = next(port.dtype for port in entry.inputs if port.name == f"{PAST}0.key")
    if provider.device == "cpu" or entry.dialect != "ort" or dtype != "float32":
        return
    raise EdgeVLError(
        "EVL-ENGINE-PRECISION",
        f"the bundle's decoder does not run on {provider.engine}",
        "its cache is in fp32, and ONNX Runtime's attention takes fp16 on a GPU",
        "export with --precision fp16, or use --engine onnxruntime",
    )


def session_from_file(
    path: Path, threads: int, is_mapped: bool, provider: Provider = CPU, is_tried: bool = False
) -> Any:
    """`is_mapped` keeps weights in the file's own pages; without it products pack a copy of their weights. One that is only
    tried is left as it is, which neither widens nor folds any weight."""
    onnxruntime = onnxruntime_for(provider)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Every session has threads of its own, which would go on spinning after its run and take the cores from the next one's.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = FATAL
    if is_mapped:
        options.add_session_config_entry("session.disable_prepacking", "1")
    if is_tried:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return session_from_model(onnxruntime, str(path), options, provider)
    except Exception as error:
        where = "" if provider == CPU else f" on {provider.name}"
        raise MachineFault(
            "EVL-ENGINE-ORT",
            f"ONNX Runtime {onnxruntime.__version__} cannot open {path.name}{where}",
            str(error),
            remedy_for(provider, str(error)),
        ) from error


def remedy_for(provider: Provider, words: str) -> str:
    usual = "run `edge-vl verify` on the bundle; if it passes, report this line"
    if is_shortage(words):
        usual = "close other programs, or raise the limits of memory and threads that this one has"
    if provider == CPU:
        return usual
    kept = dict(provider.options).get("trt_engine_cache_path")
    stale = f"delete {kept}, whose engines may be of another TensorRT; " if kept else ""
    return f"{stale}use --engine onnxruntime to stay on the CPU; {usual}"


class OrtGraph:
    """One session with its declared ports."""

    def __init__(self, session: Any, entry: GraphEntry) -> None:
        self._session = session
        self._entry = entry

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        cast = {
            port.name: np.ascontiguousarray(feeds[port.name], dtype=port.dtype) for port in self._entry.inputs
        }
        names = [port.name for port in self._entry.outputs]
        with named_faults(self._entry.role):
            return dict(zip(names, self._session.run(names, cast), strict=True))

    def launch(self, feeds: Mapping[str, Array]) -> Callable[[], dict[str, Array]]:
        """At once: ONNX Runtime's `run` ends when the outputs are there."""
        outputs = self.run(feeds)
        return lambda: outputs
