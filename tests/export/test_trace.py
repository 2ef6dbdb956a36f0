from __future__ import annotations

import gc
from pathlib import Path

import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from demo.sizes import SIZES
from edge_runtime.dialects import grammar_named
from export.dialects.spellings import spelling_from_dialect
from export.modules.llama import Decoder
from export.signature import signature_from_role
from export.trace import Signature, Traced, TracePort, trace

SPEC = SIZES["tiny"]
LOCAL_NOTES = (b".py", b"/usr", b"/home", b"/root", b"site-packages", b"torch", b"pkg.", b"stack_trace")


@pytest.fixture(scope="module")
def decoder() -> Traced:
    signature = signature_from_role("decoder", SPEC, torch.float32)
    spelling = spelling_from_dialect("ort")
    return trace(lambda: Decoder(SPEC.decoder, spelling), signature, grammar_named("ort").opset)


@pytest.fixture(scope="module")
def onnx_bytes(decoder: Traced, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    # Weights are still holes, so what is written is what the tracer left.
    path = tmp_path_factory.mktemp("trace") / "decoder.onnx"
    ir.save(decoder.model, path)
    return path.read_bytes()


def test_no_notes_of_the_tracer_and_no_local_paths_are_left(onnx_bytes: bytes) -> None:
    here = str(Path(__file__).resolve().parents[2]).encode()
    found = [note for note in (*LOCAL_NOTES, here) if note in onnx_bytes]
    assert not found


def test_nodes_are_named_after_the_modules_they_come_from(decoder: Traced) -> None:
    names = [node.name for node in decoder.model.graph.all_nodes()]
    assert len(set(names)) == len(names)
    for wanted in ("blocks.0.q/MatMul", "blocks.1.down/MatMul", "head/MatMul"):
        assert wanted in names
    assert {"blocks.0/GroupQueryAttention", "blocks.1/GroupQueryAttention"} <= set(names)


def test_holes_are_the_parameters_by_their_canonical_names(decoder: Traced) -> None:
    parameters = {name for name, _ in Decoder(SPEC.decoder, spelling_from_dialect("ort")).named_parameters()}
    assert set(decoder.holes) == parameters | {"rope_cos", "rope_sin"}


def test_weights_have_no_bytes_while_a_graph_is_traced(decoder: Traced) -> None:
    assert all(value.const_value is None for value in decoder.holes.values())


def test_inputs_and_outputs_are_those_of_the_signature(decoder: Traced) -> None:
    signature = signature_from_role("decoder", SPEC, torch.float32)
    for values, ports in (
        (decoder.model.graph.inputs, signature.inputs),
        (decoder.model.graph.outputs, signature.outputs),
    ):
        found = [(value.name, tuple(shape_of(value))) for value in values]
        assert found == [(port.name, port.shape) for port in ports]


def shape_of(value: ir.Value) -> list[int | str | None]:
    assert value.shape is not None
    return [dim.value if isinstance(dim, ir.SymbolicDim) else dim for dim in value.shape]


def test_weights_are_multiplied_as_they_lie_without_transposes(decoder: Traced) -> None:
    holes = {id(value) for value in decoder.holes.values()}
    transposes = [node for node in decoder.model.graph if node.op_type == "Transpose"]
    assert not [node.name for node in transposes if id(node.inputs[0]) in holes]


def test_no_mask_or_other_constant_grows_with_the_context(decoder: Traced) -> None:
    sizes = [
        value.const_value.size
        for value in decoder.model.graph.initializers.values()
        if value.const_value is not None
    ]
    assert max(sizes, default=0) < 64


class Doubled(nn.Module):
    """A parameter that is used, and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Parameter(torch.empty(3))
        self.idle = nn.Parameter(torch.empty(5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.used + self.used


def test_a_parameter_used_twice_is_one_hole_and_an_idle_one_none() -> None:
    port = TracePort("x", ("batch", 3), torch.float32)
    out = TracePort("y", ("batch", 3), torch.float32)
    traced = trace(Doubled, Signature((port,), (out,)), opset=20)
    assert set(traced.holes) == {"used"}


def test_the_collector_is_as_it_was_after_a_trace_and_after_a_failed_one() -> None:
    before = gc.get_threshold()
    signature = Signature((TracePort("x", (2,), torch.float32),), (TracePort("y", (2,), torch.float32),))
    trace(nn.ReLU, signature, 20)
    assert gc.get_threshold() == before
    with pytest.raises(ZeroDivisionError):
        trace(lambda: nn.Linear(1 // 0, 2), signature, 20)
    assert gc.get_threshold() == before
