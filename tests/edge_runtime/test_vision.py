from __future__ import annotations

import pytest
from PIL import Image

from demo.sizes import SIZES
from edge_runtime.stopwatch import Stopwatch
from edge_runtime.vision import VisionEncoder, digest_of
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
