"""What the float model said, read again from the desk one answer at a time."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from calibration.answers import Answer, Answers, DecoderFeeds, empty_caches, piece_of
from calibration.desk import Desk
from calibration.samples import Sample
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import GraphEntry
from tests.proof.subject import bundle_below, session_folder

COUNT, LENGTH, WIDTH = 12, 512, 1024
ROW_BYTES = 4 * LENGTH * WIDTH


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> GraphEntry:
    return Bundle.open(bundle_below(session_folder(tmp_path_factory), "plain")).graph("decoder", "ort")


def answers_on(desk: Desk, count: int = COUNT) -> Answers:
    """As a run leaves them, with rows that tell which answer is whose; the last is the shortest."""
    found = []
    for number in range(count):
        length = LENGTH - number
        sample = Sample(f"{number}.png", Path(), "?", f"{number:064}", f"{number}.png")
        desk.lay(piece_of(sample), {"rows": np.full((1, length, WIDTH), number, np.float32)})
        found.append(Answer(sample, [1, 2], length, None, desk))
    return Answers(tuple(found))


def test_each_answers_rows_come_back_whole(entry: GraphEntry, tmp_path: Path) -> None:
    feeds = DecoderFeeds(entry, answers_on(Desk(tmp_path / "out", "key")))
    assert len(feeds) == COUNT
    for number, each in enumerate(feeds):
        assert each["inputs_embeds"].shape == (1, LENGTH - number, WIDTH)
        assert (each["inputs_embeds"] == number).all()
        assert each["logit_index"].tolist() == [
            [LENGTH - number - 2, LENGTH - number - 1]
        ]  # one for each token
        caches = empty_caches(entry, LENGTH)
        assert caches and all(each[name].shape == cache.shape for name, cache in caches.items())


def test_some_of_them_are_those_of_a_list(entry: GraphEntry, tmp_path: Path) -> None:
    feeds = DecoderFeeds(entry, answers_on(Desk(tmp_path / "out", "key"), count=5))
    for part in (slice(2), slice(1, 4), slice(None, None, 2)):
        found = [int(each["inputs_embeds"][0, 0, 0]) for each in feeds[part]]
        assert found == list(range(5))[part]
    assert int(feeds[-1]["inputs_embeds"][0, 0, 0]) == 4


def test_however_many_answers_there_are_one_is_in_memory(entry: GraphEntry, tmp_path: Path) -> None:
    feeds = DecoderFeeds(entry, answers_on(Desk(tmp_path / "out", "key")))
    tracemalloc.start()
    try:
        for each in feeds:
            assert each["inputs_embeds"].nbytes > ROW_BYTES // 2
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3.5 * ROW_BYTES  # the one before is let go when the next is there


def test_a_desk_that_was_cleared_meanwhile_is_named(entry: GraphEntry, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "out", "key")
    feeds = DecoderFeeds(entry, answers_on(desk, count=2))
    desk.clear()
    with pytest.raises(EdgeVLError, match="removed while it was needed") as caught:
        list(feeds)
    assert caught.value.code == "EVL-CALIBRATE-DESK"
