"""Traces a module as the exporter will, and runs the graph in ONNX Runtime."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir
import onnxruntime
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

from tests.export.modules_oracle import assert_close

Args = tuple[Any, ...]
BATCH = torch.export.Dim("batch", min=1, max=64)


@dataclass(frozen=True)
class Graph:
    """A traced module."""

    session: onnxruntime.InferenceSession

    def __call__(self, *args: Any) -> list[Tensor]:
        flat = pytree.tree_leaves(args)
        feed = {name.name: t.numpy() for name, t in zip(self.session.get_inputs(), flat, strict=True)}
        return [torch.from_numpy(value) for value in self.session.run(None, feed)]

    def agrees(self, module: nn.Module, *args: Any, bar: float = 1e-4) -> None:
        """The graph and the eager module give the same on these inputs."""
        theirs = pytree.tree_leaves(module(*args))
        for ours, wanted in zip(self(*args), theirs, strict=True):
            assert_close(ours, wanted, bar)


def graph_from_module(module: nn.Module, args: Args, shapes: Sequence[Any]) -> Graph:
    program = traced(module, args, shapes, optimize=True)
    return Graph(session_from(program))


def graph_from_fakes(
    make: Callable[[], tuple[nn.Module, Args]], shapes: Sequence[Any], weights: Mapping[str, Tensor]
) -> Graph:
    """Built and traced without values, then given `weights`: every initialiser must be among them."""
    with FakeTensorMode():
        module, args = make()
        program = traced(module, args, shapes, optimize=False)
    for name, value in program.model.graph.initializers.items():
        value.const_value = onnx_ir.tensor(weights[name].numpy(), name=name)
    program.optimize()
    return Graph(session_from(program))


def traced(module: nn.Module, args: Args, shapes: Sequence[Any], *, optimize: bool) -> torch.onnx.ONNXProgram:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # torch's own use of its own old name
        warnings.filterwarnings("ignore", message=".*axis name.*")  # several inputs share one batch
        program = torch.onnx.export(
            module,
            args,
            dynamo=True,
            opset_version=20,
            dynamic_shapes=tuple(shapes),
            optimize=optimize,
            verbose=False,
        )
    assert program is not None
    return program


def session_from(program: torch.onnx.ONNXProgram) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
