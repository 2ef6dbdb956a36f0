from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from demo.sizes import SIZES
from edge_runtime.stopwatch import Stopwatch
from edge_runtime.vision import VisionEncoder, digest_of, remembered_for
from tests.edge_runtime.fake_backend import IMAGE_TOKENS, FakeBackend, fake_spec


def picture(shade: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new("RGB", size, (shade, 0, 0))


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend([])


def encoder_on(backend: FakeBackend, remembered: int = 2) -> VisionEncoder:
    return VisionEncoder(backend, fake_spec(), remembered)


def test_a_picture_becomes_its_rows_through_tower_and_adaptor(backend: FakeBackend) -> None:
    image = encoder_on(backend).encode(picture(9), Stopwatch())
    assert image.rows.shape[0] == IMAGE_TOKENS
    assert backend.ran == ["vision_low", "adaptor"]


def test_the_same_picture_is_encoded_once(backend: FakeBackend) -> None:
    encoder = encoder_on(backend)
    one, other = (encoder.encode(picture(9), Stopwatch()) for _ in range(2))
    assert one is other
    assert backend.ran == ["vision_low", "adaptor"]


def test_the_picture_used_longest_ago_is_forgotten_first(backend: FakeBackend) -> None:
    encoder = encoder_on(backend, remembered=2)
    for shade in (1, 2, 1, 3):  # 3 takes the place of 2
        encoder.encode(picture(shade), Stopwatch())
    backend.ran.clear()
    for shade in (1, 3):
        encoder.encode(picture(shade), Stopwatch())
    assert backend.ran == []
    encoder.encode(picture(2), Stopwatch())
    assert backend.ran == ["vision_low", "adaptor"]


@pytest.mark.parametrize(
    ("slots", "capacity", "image_tokens", "wanted"),
    [(1, 4096, 576, 8), (4, 4096, 576, 28), (1, 16384, 576, 28), (64, 16384, 576, 64), (1, 100, 576, 8)],
)
def test_as_many_pictures_are_remembered_as_rows_can_hold_within_bounds(
    slots: int, capacity: int, image_tokens: int, wanted: int
) -> None:
    assert remembered_for(slots, capacity, image_tokens) == wanted


def test_time_is_spent_on_preprocessing_and_vision_of_new_pictures_only(backend: FakeBackend) -> None:
    encoder, stopwatch = encoder_on(backend), Stopwatch()
    encoder.encode(picture(9), stopwatch)
    spent = stopwatch.timings_ms()
    assert spent["preprocess"] > 0
    assert spent["vision"] > 0
    known = Stopwatch()
    encoder.encode(picture(9), known)
    assert known.timings_ms()["vision"] == known.timings_ms()["preprocess"] == 0


def test_a_digest_tells_pixels_and_shapes_apart() -> None:
    pictures = [picture(1), picture(2), picture(1, (4, 16)), picture(1, (16, 4))]
    assert len({digest_of(each) for each in pictures}) == len(pictures)
    assert digest_of(picture(1)) == digest_of(picture(1))


def test_a_hybrid_model_feeds_both_towers_their_own_pixels(backend: FakeBackend) -> None:
    spec = SIZES["tiny"]
    assert spec.high is not None
    VisionEncoder(backend, spec).encode(picture(3), Stopwatch())
    assert backend.ran == ["vision_high", "vision_low", "adaptor"]
    assert backend.shapes["vision_high.pixels"] == (1, 3, spec.high.image_size, spec.high.image_size)
    assert backend.shapes["vision_low.pixels"] == (1, 3, spec.low.image_size, spec.low.image_size)
    assert {"adaptor.high", "adaptor.low"} <= backend.shapes.keys()


def test_a_picture_can_be_left_after_any_of_its_stages(backend: FakeBackend) -> None:
    encoder, ran = VisionEncoder(backend, SIZES["tiny"]), []
    stages = encoder.stages(picture(3), Stopwatch())
    for _ in range(3):
        next(stages)
        ran.append(list(backend.ran))
    stages.close()
    assert ran == [[], ["vision_high"], ["vision_high", "vision_low"]]
    assert not encoder.knows(digest_of(picture(3)))


def test_stage_by_stage_or_at_once_a_picture_has_the_same_rows(backend: FakeBackend) -> None:
    one, other = encoder_on(backend), encoder_on(backend)
    for _ in one.stages(picture(7), Stopwatch()):
        assert not one.knows(digest_of(picture(7)))
    found = one.encode(picture(7), Stopwatch())
    wanted = other.encode(picture(7), Stopwatch())
    assert found.digest == wanted.digest and np.array_equal(found.rows, wanted.rows)
    assert backend.ran == ["vision_low", "adaptor"] * 2, "the first was not encoded again"


def test_time_between_stages_is_not_the_picture_s(backend: FakeBackend) -> None:
    now = iter(range(1000))
    stopwatch = Stopwatch(clock=lambda: float(next(now)))
    stages = encoder_on(backend).stages(picture(7), stopwatch)
    for _ in stages:
        for _ in range(50):
            next(now)
    spent = stopwatch.timings_ms()
    assert 0 < spent["vision"] + spent["preprocess"] < 50_000 < spent["total"]


def test_what_is_no_number_is_not_remembered(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoder_on(backend)
    adaptor = encoder._graphs["adaptor"]
    whole = adaptor.launch
    broken = {"embeds": np.full((1, IMAGE_TOKENS, 4), np.nan, dtype=np.float32)}
    monkeypatch.setattr(adaptor, "launch", lambda feeds: lambda: broken)
    assert np.isnan(encoder.encode(picture(9), Stopwatch()).rows).all()
    monkeypatch.setattr(adaptor, "launch", whole)
    assert np.isfinite(encoder.encode(picture(9), Stopwatch()).rows).all()
