"""Pictures that no camera makes, through the rules of a request and then through the decoder."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.picture import picture_from_bytes
from edge_runtime.picture_limits import PictureLimits, checked_header
from edge_runtime.server.images.source import ImageRules, ImageSource
from tests.edge_runtime.server.images.bombs import DECODED, HUGE, ODD_PICTURES, REFUSED, TOILSOME

LIMITS = PictureLimits()


def file_of(url: str) -> bytes:
    return asyncio.run(ImageSource(ImageRules()).file(url))


@pytest.mark.parametrize("name", DECODED)
def test_an_odd_picture_passes_and_is_decoded(name: str) -> None:
    odd = DECODED[name]
    assert picture_from_bytes(file_of(odd.data_url()), LIMITS).size == odd.size


@pytest.mark.parametrize("name", [*REFUSED, *HUGE])
def test_a_bomb_is_refused_by_the_first_that_can_tell(name: str) -> None:
    odd = ODD_PICTURES[name]
    if odd.is_told_unread:
        with pytest.raises(EdgeVLError) as caught:
            file_of(odd.data_url())
    else:
        data = file_of(odd.data_url())
        with pytest.raises(EdgeVLError) as caught:
            picture_from_bytes(data, LIMITS)
    assert caught.value.code == odd.code
    assert caught.value.exit_status == 2
    assert not re.search(r"0x[0-9a-f]{4,}| object at |/home|/usr|\.py\b", str(caught.value))


@pytest.mark.parametrize("name", [name for name in [*REFUSED, *HUGE] if ODD_PICTURES[name].is_told_unread])
def test_what_is_refused_unread_is_refused_in_the_decoders_own_words(name: str) -> None:
    data = ODD_PICTURES[name].make()
    with pytest.raises(EdgeVLError) as decoder:
        picture_from_bytes(data, LIMITS)
    with pytest.raises(EdgeVLError) as front:
        checked_header(data, LIMITS)
    assert (front.value.code, str(front.value)) == (decoder.value.code, str(decoder.value))


@pytest.mark.parametrize("limit", ["bytes", "pixels", "side"])
def test_limits_refuse_in_the_decoders_own_words(limit: str) -> None:
    data = DECODED["RGBA"].make()
    bounds = {"bytes": 10**6, "pixels": 10**6, "side": 10**6} | {limit: 10}
    with pytest.raises(EdgeVLError) as decoder:
        picture_from_bytes(data, PictureLimits(bounds["bytes"], bounds["pixels"], bounds["side"]))
    with pytest.raises(EdgeVLError) as front:
        checked_header(data, PictureLimits(bounds["bytes"], bounds["pixels"], bounds["side"]))
    assert str(front.value) == str(decoder.value)


@pytest.mark.parametrize("name", TOILSOME)
def test_a_file_that_is_slow_to_read_costs_the_front_end_little(name: str) -> None:
    data = TOILSOME[name]()
    start = time.process_time()
    with contextlib.suppress(EdgeVLError):  # some are slow only to decode
        checked_header(data, LIMITS)
    assert time.process_time() - start < 2.5
