"""Each role is answered by the engine that it is left to."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import pytest

from edge_runtime.backends.shared import MixedBackend, SharedBackend
from edge_runtime.spec import Role
from tests.edge_runtime.fake_backend import FakeBackend

FEEDS = {"pixels": np.zeros((1, 3, 4, 4), dtype=np.float32), "low": np.zeros((1, 4, 8), dtype=np.float32)}


@dataclass
class StuckBackend(FakeBackend):
    def close(self) -> NoReturn:
        super().close()
        raise ZeroDivisionError


def backends(left: AbstractSet[Role]) -> tuple[FakeBackend, FakeBackend, SharedBackend]:
    first, second = FakeBackend([1], "tensorrt", "trt"), FakeBackend([2], "onnxruntime", "ort")
    return first, second, SharedBackend(first, second, left)


def test_a_graph_is_of_the_engine_that_its_role_is_left_to() -> None:
    first, second, shared = backends({"adaptor"})
    for role in ("adaptor", "vision_low"):
        shared.graph(role).run(FEEDS)
    assert (first.ran, second.ran) == (["vision_low"], ["adaptor"])


@pytest.mark.parametrize(
    ("left", "made"), [(frozenset[Role](), (1, 0)), (frozenset[Role](["decoder"]), (0, 1))]
)
def test_the_decoder_is_of_the_engine_that_it_is_left_to(
    left: AbstractSet[Role], made: tuple[int, int]
) -> None:
    first, second, shared = backends(left)
    decoder = shared.decoder(1, 32)
    assert (len(first.decoders), len(second.decoders)) == made
    assert (decoder.batch, decoder.capacity) == (1, 32)


def test_it_is_called_by_both_names_and_tells_the_precisions_of_the_first() -> None:
    _, _, shared = backends({"decoder"})
    assert (shared.name, shared.dialect) == ("tensorrt and onnxruntime", "trt")


def test_an_engine_of_mixed_precision_is_the_engine_itself_but_for_what_is_told() -> None:
    engine = FakeBackend([1], "tensorrt", "trt")
    mixed = MixedBackend(engine, {"adaptor": "fp16"})
    assert (mixed.name, mixed.dialect, mixed.precision) == ("tensorrt", "trt", {"adaptor": "fp16"})
    mixed.graph("adaptor").run(FEEDS)
    assert engine.ran == ["adaptor"] and mixed.decoder(1, 32) is engine.decoders[0]
    mixed.close()
    assert engine.is_closed


def test_both_are_closed() -> None:
    first, second, shared = backends({"decoder"})
    shared.close()
    assert first.is_closed
    assert second.is_closed


def test_the_second_is_closed_even_where_the_first_cannot_be() -> None:
    first, second = StuckBackend([1]), FakeBackend([2])
    with pytest.raises(ZeroDivisionError):
        SharedBackend(first, second, {"decoder"}).close()
    assert second.is_closed
