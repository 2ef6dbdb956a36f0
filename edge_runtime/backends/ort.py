"""ONNX Runtime on the CPU: the engine that works anywhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.backends.backend import Array, Floats, Ints
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.manifest import GraphEntry
from edge_runtime.scores import Scores
from edge_runtime.spec import DecoderSpec, Role

PROVIDERS = ["CPUExecutionProvider"]
FATAL = 4  # ONNX Runtime's log level; what it refuses arrives as an exception


class OrtBackend:
    """Sessions are opened when first asked for and kept until `close`.

    The `ort` graphs are made for it; those of other dialects run too, slower, to be compared with them.
    """

    name = "onnxruntime"

    def __init__(self, bundle: Bundle, threads: int | None = None, dialect: Dialect = "ort") -> None:
        self.bundle = bundle
        self.dialect = dialect
        self.threads = threads or len(os.sched_getaffinity(0))
        self._sessions: dict[Role, Any] = {}

    def graph(self, role: Role) -> OrtGraph:
        return OrtGraph(self.session(role), self.bundle.graph(role, self.dialect))

    def decoder(self, batch: int, capacity: int) -> OrtDecoder:
        spec = self.bundle.spec.decoder
        entry = self.bundle.graph("decoder", self.dialect)
        return OrtDecoder(self.session("decoder"), entry, spec, batch, capacity)

    def session(self, role: Role) -> Any:
        if role not in self._sessions:
            entry = self.bundle.graph(role, self.dialect)
            is_mapped = entry.precision == "fp32"
            self._sessions[role] = session_from_file(self.bundle.path_of(entry), self.threads, is_mapped)
        return self._sessions[role]

    def close(self) -> None:
        self._sessions.clear()


def session_from_file(path: Path, threads: int, is_mapped: bool) -> Any:
    """`is_mapped` keeps weights in the file's own pages; without it products pack a copy of their weights."""
    onnxruntime = imported_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = FATAL
    if is_mapped:
        options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=PROVIDERS)
    except Exception as error:
        raise MachineFault(
            "EVL-ENGINE-ORT",
            f"ONNX Runtime {onnxruntime.__version__} cannot open {path.name}",
            str(error),
            "run `edge-vl verify` on the bundle; if it passes, report this line",
        ) from error


def imported_onnxruntime() -> Any:
    # Since 1.29 it reports to its maker, and leaves an identifier in the user's cache, unless this is set before
    # it is imported. Nothing of ours touches the network unasked.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        raise EdgeVLError(
            "EVL-ENGINE-MISSING",
            "ONNX Runtime is not installed",
            str(error),
            "pip install 'edge-vl[cpu]'",
        ) from error
    return onnxruntime


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
        found = self.run(feeds)
        return lambda: found


class OrtDecoder:
    """Past and present are bound to one buffer per layer and kind, so a step of the `ort` dialect copies no cache.

    A graph may say how long its cache is; then that is the capacity, whatever was asked for.
    GroupQueryAttention, of the `ort` dialect, takes several rows only with one token each, or from an empty cache; other
    chunks of several rows are fed row by row.
    """

    def __init__(self, session: Any, entry: GraphEntry, spec: DecoderSpec, batch: int, capacity: int) -> None:
        length = next(port.shape[2] for port in entry.inputs if port.name == "past_key_values.0.key")
        self.batch = batch
        self.capacity = length if isinstance(length, int) else capacity
        assert self.capacity >= capacity, "the graph's cache is shorter than what was asked for"
        self._has_free_chunks = entry.dialect != "ort"
        self._session = session
        dtypes = {port.name: port.dtype for port in entry.inputs}
        self._dtype = dtypes["inputs_embeds"]
        shape = (batch, spec.kv_heads, self.capacity, spec.head_dim)
        # Zeroed pages cost nothing until a token is written to them.
        self._cache = [
            (f"{layer}.{kind}", np.zeros(shape, dtype=dtypes["past_key_values.0.key"]))
            for layer in range(spec.layers)
            for kind in ("key", "value")
        ]
        self._whole = self._binding(slice(None))
        self._rows = [self._binding(slice(row, row + 1)) for row in range(batch)] if batch > 1 else []

    def step(self, embeds: Array, write_index: Ints, logit_index: Ints) -> Scores:
        rows, steps = embeds.shape[:2]
        assert rows == self.batch and logit_index.shape[0] == rows, "a step feeds every row"
        assert int(write_index.max()) + steps <= self.capacity, "a step may not leave the cache"
        if rows == 1 or steps == 1 or self._has_free_chunks or not write_index.any():
            return Scores.of(self._run(self._whole, embeds, write_index, logit_index))
        parts = [
            self._run(binding, embeds[row : row + 1], write_index[row : row + 1], logit_index[row : row + 1])
            for row, binding in enumerate(self._rows)
        ]
        return Scores.of(np.concatenate(parts))

    def _binding(self, rows: slice) -> Any:
        onnxruntime = imported_onnxruntime()
        binding = self._session.io_binding()
        binding.bind_output("logits", "cpu")
        for name, cache in self._cache:
            value = onnxruntime.OrtValue.ortvalue_from_numpy(cache[rows])
            binding.bind_ortvalue_input(f"past_key_values.{name}", value)
            binding.bind_ortvalue_output(f"present.{name}", value)
        return binding

    def _run(self, binding: Any, embeds: Array, write_index: Ints, logit_index: Ints) -> Floats:
        # The binding reads these arrays' memory, so they live until the run is over.
        inputs = {
            "inputs_embeds": np.ascontiguousarray(embeds, dtype=self._dtype),
            "write_index": np.ascontiguousarray(write_index, dtype=np.int64),
            "logit_index": np.ascontiguousarray(logit_index, dtype=np.int64),
        }
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        binding.bind_output("logits", "cpu")  # anew: a bound output keeps the shape of the run before
        with named_faults("decoder"):
            self._session.run_with_iobinding(binding)
        logits: Floats = binding.get_outputs()[0].numpy().astype(np.float32)
        return logits


class named_faults:  # noqa: N801  (a context manager reads as a verb)
    """What ONNX Runtime throws while running becomes a fault with the role's name."""

    def __init__(self, role: Role) -> None:
        self.role = role

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            raise MachineFault(
                "EVL-ENGINE-RUN",
                f"ONNX Runtime stopped while running {self.role}",
                str(error),
                "lower --max-context if memory is short; otherwise report this line",
            ) from error
