"""Which inputs of the decoder's layers go together: x^T x of each, over samples that are answered, as far as these tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from calibration.blocks import Floats
from calibration.layer import Layer, check_names, input_of, layers_from_graph
from calibration.minmax import appended, constant
from calibration.session import Feeds, Session
from calibration.shrinkage import drawn_to_diagonal
from calibration.soundness import called, error_in_graph

GROUP_BYTES = 1 << 30  # of moments that are gathered in one pass over the samples


@dataclass(frozen=True, eq=False)
class Watched:
    """One value that layers read, and the layers."""

    value: str
    width: int
    layers: tuple[str, ...]

    @property
    def nbytes(self) -> int:
        return 2 * 4 * self.width**2  # what the graph gives, and what it is added to


class Moments:
    """Gathered for a group of neighbouring layers at a time, when the first of them is asked for.

    The samples run once for each group, through no more of the graph than the group needs, so memory is that of a group.
    """

    def __init__(
        self,
        path: Path,
        names: Iterable[str],
        feeds: Sequence[Feeds],
        threads: int,
        group_bytes: int = GROUP_BYTES,
        samples: Sequence[str] = (),
    ) -> None:
        self._path, self._feeds, self._threads, self._samples = path, feeds, threads, samples
        graph = ir.load(path).graph
        layers = layers_from_graph(graph)
        check_names(names, layers, path.name)
        chosen = set(names)
        self._groups = list(
            groups_of(watched_in([each for each in layers if each.name in chosen]), group_bytes)
        )
        self._held: dict[str, Floats] = {}

    def of(self, layer: str) -> Floats:
        """(K, K). Cheapest when layers are asked for in the order of the graph."""
        if layer not in self._held:
            group = next(group for group in self._groups if any(layer in each.layers for each in group))
            self._held = {}  # before the next are made
            found = gathered(self._path, group, self._feeds, self._threads, self._samples)
            self._held = {name: found[each.value] for each in group for name in each.layers}
        return self._held[layer]


def watched_in(layers: Iterable[Layer]) -> list[Watched]:
    """In the order in which the values are first read."""
    found: dict[str, tuple[int, list[str]]] = {}
    for layer in layers:
        name = str(input_of(layer.nodes[0]).name)
        found.setdefault(name, (layer.rows, []))[1].append(layer.name)
    return [Watched(name, width, tuple(dict.fromkeys(names))) for name, (width, names) in found.items()]


def groups_of(every: Iterable[Watched], group_bytes: int) -> Iterator[list[Watched]]:
    group: list[Watched] = []
    for watched in every:
        if group and sum(each.nbytes for each in (*group, watched)) > group_bytes:
            yield group
            group = []
        group.append(watched)
    if group:
        yield group


def gathered(
    path: Path, group: Sequence[Watched], feeds: Iterable[Feeds], threads: int, samples: Sequence[str] = ()
) -> Mapping[str, Floats]:
    """x^T x by value, drawn towards inputs that do not go together; `samples` are names, for errors."""
    session = session_of_moments(path, group, threads)
    needed = session.needed
    sums = {each.value: np.zeros((each.width, each.width), np.float32) for each in group}
    tokens: Counter[str] = Counter()
    for number, sample in enumerate(feeds):
        found = session.run(None, {name: array for name, array in sample.items() if name in needed})
        for watched, moment, shape in zip(group, found[::2], found[1::2], strict=True):
            if not np.isfinite(moment.diagonal()).all():
                where = f"the input of {watched.layers[0]}"
                raise error_in_graph(path, called(samples, number), where)
            sums[watched.value] += moment
            tokens[watched.value] += int(shape[0])
    for value, moment in sums.items():
        drawn_to_diagonal(moment, tokens[value])
    return sums


def session_of_moments(path: Path, group: Sequence[Watched], threads: int) -> Session:
    model = ir.load(path)
    graph = model.graph
    graph.outputs.clear()  # what nobody asks for is not computed
    values = values_by_name(graph)
    for number, watched in enumerate(group):
        add_moment(graph, values[watched.value], watched.width, f"moment{number}")
    return Session(model, path.parent, threads, path.stem)


def values_by_name(graph: ir.Graph) -> dict[str, ir.Value]:
    values = [*graph.inputs, *(output for node in graph for output in node.outputs)]
    return {value.name: value for value in values if value.name}


def add_moment(graph: ir.Graph, value: ir.Value, width: int, stem: str) -> None:
    """x^T x in fp32, whatever the type and leading dimensions of x, and the shape of x as rows of tokens."""
    rows = constant(graph, f"{stem}_shape", [-1, width])
    wide = appended(graph, "Cast", [value], {"to": ir.DataType.FLOAT.value}, f"{stem}/Cast")
    flat = appended(graph, "Reshape", [wide, rows], {}, f"{stem}/Reshape")
    turned = appended(graph, "Transpose", [flat], {"perm": [1, 0]}, f"{stem}/Transpose")
    result = appended(graph, "MatMul", [turned, flat], {}, stem)
    result.type, result.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([width, width])
    shape = appended(graph, "Shape", [flat], {}, f"{stem}/Shape")
    shape.type, shape.shape = ir.TensorType(ir.DataType.INT64), ir.Shape([2])
    graph.outputs.extend([result, shape])
