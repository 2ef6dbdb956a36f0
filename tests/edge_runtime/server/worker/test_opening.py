"""What the worker makes of its orders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import pytest

from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.choice import Choice
from edge_runtime.draft import DraftRules
from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.sequence import KVSequence
from edge_runtime.server.orders import Orders, Speculation
from edge_runtime.server.worker.opening import Opened, drafts_of, made


@pytest.mark.parametrize(
    ("speculation", "engine", "drafts"),
    [
        ("auto", "onnxruntime", DraftRules()),
        ("auto", "tensorrt", None),
        ("on", "onnxruntime-cuda", DraftRules()),
        ("off", "onnxruntime", None),
    ],
)
def test_guesses_are_made_where_they_help_or_were_asked_for(
    speculation: Speculation, engine: str, drafts: DraftRules | None
) -> None:
    assert drafts_of(Orders("bundle", speculation=speculation), engine) == drafts


@pytest.mark.parametrize("engine", ["tensorrt", "tensorrt_rtx", "tensorrt and onnxruntime"])
def test_guesses_that_an_engine_cannot_check_are_refused_when_it_is_opened(engine: str) -> None:
    with pytest.raises(EdgeVLError, match="EVL-ENGINE-DRAFTS"):
        drafts_of(Orders("bundle", speculation="on"), engine)


@pytest.fixture
def whole(bundle: Bundle) -> Iterator[Opened]:
    backend = OrtBackend(bundle, threads=1)
    yield made(bundle, Choice(backend, None, "for the test"), Orders(str(bundle.folder), slots=2))
    backend.close()


def test_warmed_it_has_shown_a_picture_and_holds_nothing_of_it(whole: Opened) -> None:
    whole.warm()
    loop = whole.loop
    assert (loop.pictures, loop.said, loop.running, loop.waiting, loop.cache_share) == (1, 2, 0, 0, 0.0)


def test_an_engine_that_cannot_answer_is_not_ready(whole: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: KVSequence, prompt: EmbeddedPrompt, most: int | None = None) -> NoReturn:
        raise MachineFault("EVL-ENGINE-TEST", "it is broken", "a test broke it", "nothing")

    monkeypatch.setattr(KVSequence, "extend", broken)
    with pytest.raises(MachineFault, match="EVL-ENGINE-TEST"):
        whole.warm()
