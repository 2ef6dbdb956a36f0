from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_runtime import loading
from edge_runtime.backends.backend import DecoderGraph
from edge_runtime.bench.subject import opened_subject
from edge_runtime.choice import Choice, Wish
from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.loading import load
from edge_runtime.progress import silent
from edge_runtime.request import Request
from tests.edge_runtime.fake_backend import FakeBackend
from tests.proof.subject import bundle_below, session_folder


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_below(session_folder(tmp_path_factory), "windowed")


@dataclass
class Broken(FakeBackend):
    """A GPU that is too small for the decoder."""

    script: list[int] = field(default_factory=list)
    name: str = "tensorrt"

    def decoder(self, batch: int, capacity: int) -> DecoderGraph:  # type: ignore[override]
        raise MachineFault("EVL-GPU-MEMORY", "the GPU's memory is full", "it has 8 MiB", "buy another")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Broken:
    made = Broken()
    monkeypatch.setattr(loading, "chosen", lambda *_: Choice(made, None, "it was found right"))
    return made


def test_an_engine_that_does_not_open_is_replaced_where_nobody_asked_for_it(
    bundle: Path, broken: Broken
) -> None:
    with load(bundle, is_trusted=True) as assistant:
        answer = assistant.ask("what is it?", request=Request(max_tokens=2))
    assert answer.engine == "onnxruntime"
    assert answer.engine_reason == "tensorrt: the GPU's memory is full (it has 8 MiB)"
    assert broken.is_closed


def test_a_bench_replaces_what_does_not_open_as_an_assistant_does(bundle: Path, broken: Broken) -> None:
    subject, _ = opened_subject(bundle, Wish(is_trusted=True), silent)
    try:
        assert subject.backend.name == "onnxruntime"
        assert broken.is_closed
    finally:
        subject.close()


def test_a_bench_of_an_engine_that_was_asked_for_closes_it_and_says_why(bundle: Path, broken: Broken) -> None:
    with pytest.raises(MachineFault) as caught:
        opened_subject(bundle, Wish("tensorrt", is_trusted=True), silent)
    assert caught.value.code == "EVL-GPU-MEMORY"
    assert broken.is_closed


def test_the_folder_of_engines_may_be_given_as_text(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgeVLError) as caught:
        load(bundle, is_trusted=True, engines=str(tmp_path / "nowhere"))
    assert caught.value.code == "EVL-ENGINE-ABSENT"


def test_one_that_was_asked_for_is_not_replaced(bundle: Path, broken: Broken) -> None:
    with pytest.raises(MachineFault) as caught:
        load(bundle, "tensorrt", is_trusted=True)
    assert caught.value.code == "EVL-GPU-MEMORY"
    assert broken.is_closed
