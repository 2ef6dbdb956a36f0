"""What a decoder on CUDA asks of ONNX Runtime: where its buffers are, and what crosses to the host."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edge_runtime.backends.backend import Array
from edge_runtime.backends.ort_decoder import OrtDecoder
from edge_runtime.bundle import Bundle
from edge_runtime.errors import MachineFault
from tests.proof.subject import bundle_below, session_folder

CAPACITY, ROWS, TOO_LONG = 40, 2, 41
REFUSAL = "Failed to allocate memory for requested buffer of size 16777216"


@dataclass
class Binding:
    """What was bound where, of a session that computes nothing."""

    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)

    def bind_cpu_input(self, name: str, array: Array) -> None:
        self.inputs[name] = "cpu"

    def bind_ortvalue_input(self, name: str, value: Any) -> None:
        self.inputs[name] = value

    def bind_ortvalue_output(self, name: str, value: Any) -> None:
        self.outputs[name] = value

    def bind_input(self, name: str, *place: Any) -> None:
        self.inputs[name] = place

    def bind_output(self, name: str, *place: Any) -> None:
        self.outputs[name] = place

    def get_outputs(self) -> list[Any]:
        logits = np.zeros((1, 1, 7), dtype=np.float16)
        return [onnxruntime.OrtValue.ortvalue_from_numpy(logits)]


@dataclass
class Session:
    bindings: list[Binding] = field(default_factory=list)

    def io_binding(self) -> Binding:
        self.bindings.append(Binding())
        return self.bindings[-1]

    def run_with_iobinding(self, binding: Binding) -> None:
        assert binding.outputs["logits"] == ("cpu",)


@dataclass(frozen=True)
class Remote:
    """An OrtValue of a device that numpy cannot read."""

    device: str
    address: int
    data: Array

    @classmethod
    def ortvalue_from_numpy(cls, data: Array, device: str, number: int) -> Remote:
        if data.shape[2] == TOO_LONG:
            raise RuntimeError(REFUSAL)
        assert number == 0
        return cls(device, 4096 * id(data), data)

    def data_ptr(self) -> int:
        return self.address


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> None:
    library = ModuleType("onnxruntime")
    library.OrtValue = Remote  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "onnxruntime", library)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(bundle_below(session_folder(tmp_path_factory), "grouped", "fp16"))


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def decoder(bundle: Bundle, session: Session, remote: None) -> OrtDecoder:
    return OrtDecoder(session, bundle.graph("decoder", "ort"), bundle.spec.decoder, ROWS, CAPACITY, "cuda")


def test_the_cache_is_allocated_there_zeroed_and_bound_as_past_and_as_present(
    bundle: Bundle, session: Session, decoder: OrtDecoder
) -> None:
    whole = session.bindings[0]
    assert len(decoder._cache) == 2 * bundle.spec.decoder.layers
    for name, value in decoder._cache:
        assert value.device == "cuda"
        assert value.data.dtype == np.float16
        assert not value.data.any()
        assert whole.inputs[f"past_key_values.{name}"] is value
        assert whole.outputs[f"present.{name}"] is value


def test_a_row_is_bound_by_its_address_on_the_device(
    bundle: Bundle, session: Session, decoder: OrtDecoder
) -> None:
    heads, width = bundle.spec.decoder.kv_heads, bundle.spec.decoder.head_dim
    assert len(session.bindings) == 1 + ROWS
    for row, binding in enumerate(session.bindings[1:]):
        for name, value in decoder._cache:
            address = value.data_ptr() + row * value.data[0].nbytes
            place = ("cuda", 0, np.float16, [1, heads, CAPACITY, width], address)
            assert binding.inputs[f"past_key_values.{name}"] == place
            assert binding.outputs[f"present.{name}"] == place


def test_only_rows_go_there_and_only_logits_come_back(
    bundle: Bundle, session: Session, decoder: OrtDecoder
) -> None:
    embeds = np.zeros((ROWS, 1, bundle.spec.decoder.width), dtype=np.float32)
    decoder.step(embeds, np.zeros(ROWS, dtype=np.int64), np.zeros((ROWS, 1), dtype=np.int64))
    whole = session.bindings[0]
    from_here = {name for name, place in whole.inputs.items() if place == "cpu"}
    to_here = {name for name, place in whole.outputs.items() if place == ("cpu",)}
    assert (from_here, to_here) == ({"inputs_embeds", "write_index", "logit_index"}, {"logits"})


@pytest.mark.usefixtures("remote")
def test_a_cache_that_does_not_fit_is_a_fault_with_a_remedy(bundle: Bundle, session: Session) -> None:
    entry, spec = bundle.graph("decoder", "ort"), bundle.spec.decoder
    with pytest.raises(MachineFault) as caught:
        OrtDecoder(session, entry, spec, batch=1, capacity=TOO_LONG, device="cuda")
    assert caught.value.code == "EVL-ENGINE-RUN"
    assert caught.value.why == REFUSAL
    assert "--max-context" in caught.value.fix
