"""Numbers that are not finite: which tensor of a graph brings them in, or else which sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx_ir as ir

from calibration.datafiles import chunks_of
from calibration.layer import FLOATS
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.errors import EdgeVLError
from edge_runtime.table import Table

WEIGHT, SAMPLE = "EVL-QUANT-WEIGHT", "EVL-QUANT-SAMPLE"
TABLE_ELEMENTS = 1 << 20  # of the embedding table that are looked at together


def called(samples: Sequence[str], number: int) -> str:
    """What a sample is named in an error; its place stands in for names that nobody gave."""
    return samples[number] if samples else f"sample {number + 1}"


def error_in_graph(path: Path, sample: str, where: str) -> EdgeVLError:
    """Why `where` is no finite number: a tensor of the graph that is none, by name and role, or else the sample."""
    return tensor_error(path) or sample_error(sample, where, has_halves(path))


def error_in_bundle(bundle: Bundle, dialect: Dialect, sample: str, where: str) -> EdgeVLError:
    """The same for what all graphs together, and the embedding table, say."""
    entries = [entry for entry in bundle.manifest.graphs if entry.dialect == dialect]
    paths = [bundle.path_of(entry) for entry in entries]
    found = [error for path in paths if (error := tensor_error(path)) is not None]
    if not is_table_sound(bundle.embedding()):
        found.append(weight_error("the embedding table"))
    return found[0] if found else sample_error(sample, where, any(has_halves(path) for path in paths))


def tensor_error(path: Path) -> EdgeVLError | None:
    """For the first tensor of a graph that holds what is no finite number. A few MiB at a time are read."""
    bad = next((tensor for tensor in tensors_in(path) if not is_sound(tensor)), None)
    # Both towers have layers of the same names, and a graph is called as its role.
    return None if bad is None else weight_error(f"the tensor {bad.name} of {path.stem}")


@contextmanager
def tensors_named(path: Path) -> Iterator[None]:
    """Whoever rounds weights knows their layers alone: of the graph's own tensors that are broken, the error tells all."""
    try:
        yield
    except EdgeVLError as error:
        named = tensor_error(path) if error.code == WEIGHT else None
        if named is None:
            raise
        raise named from error


def weight_error(what: str) -> EdgeVLError:
    why, fix = "it holds what is no finite number", "export the bundle again from a sound checkpoint"
    return EdgeVLError(WEIGHT, f"{what} cannot be quantised or run", why, fix)


def sample_error(sample: str, where: str, is_narrow: bool) -> EdgeVLError:
    fix = "leave it out, or export with --precision fp32" if is_narrow else "leave it out"
    what, why = f"{sample} cannot be calibrated with", f"{where} is no finite number in it"
    return EdgeVLError(SAMPLE, what, why, fix)


def tensors_in(path: Path) -> Iterator[ir.TensorProtocol]:
    for value in ir.load(path).graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype in FLOATS:
            yield value.const_value


def has_halves(path: Path) -> bool:
    return any(tensor.dtype == ir.DataType.FLOAT16 for tensor in tensors_in(path))


def is_sound(tensor: ir.TensorProtocol) -> bool:
    if not isinstance(tensor, ir.ExternalTensor):
        return bool(np.isfinite(tensor.numpy()).all())
    dtype = tensor.dtype.numpy()
    return all(bool(np.isfinite(np.frombuffer(chunk, dtype)).all()) for chunk in chunks_of(tensor))


def is_table_sound(table: Table) -> bool:
    rows, width = table.shape
    step = max(1, TABLE_ELEMENTS // width)
    places = (np.arange(start, min(start + step, rows)) for start in range(0, rows, step))
    return all(bool(np.isfinite(table[each]).all()) for each in places)
