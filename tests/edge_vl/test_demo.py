"""`edge-vl demo`: the whole way, by itself, in less than a minute."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.edge_vl.command import Ran, assert_refused, ran, spawned

LIMIT_S = 60.0


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """As a newcomer sees it, with a temporary folder of its own."""
    home = tmp_path_factory.mktemp("tmp")
    start = time.perf_counter()
    result = spawned("demo", TMPDIR=str(home))
    assert time.perf_counter() - start < LIMIT_S
    # torch makes an empty folder for a cache that nothing here uses.
    left = [path.name for path in home.iterdir() if not path.name.startswith("torchinductor_")]
    assert left == [], "the demo left something behind"
    return result


def test_it_walks_the_whole_way(shown: Ran) -> None:
    assert (shown.status, shown.err) == (0, "")
    names = [line.split()[0] for line in shown.out.splitlines() if line[:1].strip()]
    assert names[:7] == ["prepare", "export", "calibrate", "build", "verify", "ask", "ask"]
    assert "every role and the greedy tokens agree" in shown.out
    assert "still in the cache" in shown.out


def test_it_says_that_weights_are_random_and_what_is_not_there_yet(shown: Ran) -> None:
    assert "RANDOM weights" in shown.out
    assert shown.out.count("not part of edge-vl yet") == 2


def test_it_says_what_to_type_next(shown: Ran) -> None:
    for verb in ("export CHECKPOINT BUNDLE", "verify BUNDLE --against CHECKPOINT", "run BUNDLE --image"):
        assert f"\n  edge-vl {verb}" in shown.out


def test_what_is_kept_is_a_checkpoint_and_a_bundle_to_go_on_with(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    result = ran("demo", "--keep", kept)
    assert result.status == 0
    assert sorted(path.name for path in kept.iterdir()) == ["bundle", "checkpoint", "picture.png"]
    assert f"edge-vl run {kept}/bundle" in result.out
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    answer = ran(
        "run",
        kept / "bundle",
        "--prompt",
        "hi",
        "--image",
        kept / "picture.png",
        "--max-tokens",
        "2",
        "--json",
    )
    assert answer.record()["usage"]["image_tokens"] == 16
    assert ran("verify", kept / "bundle", "--against", kept / "checkpoint").status == 0


def test_a_record_tells_every_step(tmp_path: Path) -> None:
    record = ran("demo", "--json", "--keep", tmp_path / "kept").record()
    assert record["passed"] is True
    assert all(
        set(step) == {"name", "summary", "seconds", "is_passed", "details"} for step in record["steps"]
    )


def test_an_existing_folder_is_not_written_into(tmp_path: Path) -> None:
    assert_refused(ran("demo", "--keep", tmp_path), "EVL-OUT-EXISTS")
    assert list(tmp_path.iterdir()) == []
