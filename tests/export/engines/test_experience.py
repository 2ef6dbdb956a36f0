"""How long an engine will take, and how far one under way is said to have come."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.engines.place import Gpu, Place
from edge_runtime.engines.receipt import RECEIPT_NAME
from edge_runtime.engines.shelf import Shelf
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress import is_in_bytes
from edge_runtime.progress_line import ProgressLine
from export.engines.experience import MIB, Lap, Taken, expected_s, taken_on
from export.engines.request import BuildRequest
from export.engines.timing_cache import timing_file
from export.engines.workshop import Workshop
from tests.edge_runtime.test_progress_line import Tty
from tests.export.engines.adders import ENGINES
from tests.export.engines.smith import LIMIT_MIB, PLACE, PLAN, Smith, made, orders

pytestmark = pytest.mark.usefixtures("no_gpu")


# --- one engine under way


def test_an_engine_under_way_passes_by_the_clock_up_to_nine_tenths() -> None:
    lap = Lap("decoder", 500, 1000, expected_s=20.0)
    assert [lap.told(seconds) for seconds in (0.0, 10.0, 18.0)] == [
        ("building decoder", 500),
        ("building decoder", 1000),
        ("building decoder", 1400),
    ]


def test_past_what_was_expected_the_bytes_stand_and_the_time_is_told() -> None:
    lap = Lap("decoder", 500, 1000, expected_s=20.0)
    assert lap.told(19.5) == ("building decoder for 19 s", 1400)
    assert lap.told(3605.0) == ("building decoder for 60 min 5 s", 1400)


def test_where_nothing_is_known_only_the_time_is_told() -> None:
    lap = Lap("decoder", 500, 1000, expected_s=None)
    assert lap.told(0.9) == ("building decoder", 500)
    assert lap.told(61.0) == ("building decoder for 1 min 1 s", 500)


@pytest.mark.parametrize("seconds", [0.0, 5.0, 100.0])
def test_every_label_counts_bytes(seconds: float) -> None:
    assert all(is_in_bytes(Lap("decoder", 0, 9, known).told(seconds)[0]) for known in (None, 20.0))


def test_a_line_tells_the_time_left_while_it_is_known_and_none_afterwards() -> None:
    now, err = [0.0], Tty()
    line, lap = ProgressLine(err, lambda: now[0]), Lap("decoder", 0, 100 * MIB, expected_s=20.0)
    drawn = []
    for second in range(31):
        now[0] = float(second)
        label, done = lap.told(now[0])
        line(label, done, 200 * MIB)
        drawn.append(err.getvalue().rpartition("  ")[2])
    assert drawn[10] == "0:30 left" and drawn[18] == "0:22 left"
    assert drawn[19:] == ["90.0 MiB of 200.0 MiB"] * 12


# --- what is expected


def test_an_engine_of_the_same_name_is_asked_first_and_by_its_size() -> None:
    taken = [Taken("decoder", 100, 50.0), Taken("vision_low", 10, 30.0)]
    assert expected_s(taken, "decoder", 200) == 100.0


def test_without_one_all_of_them_are_asked_together() -> None:
    taken = [Taken("vision_high", 100, 50.0), Taken("vision_low", 300, 30.0)]
    assert expected_s(taken, "decoder", 800) == 160.0


def test_with_none_at_all_nothing_is_expected() -> None:
    assert expected_s([], "decoder", 800) is None
    assert expected_s([Taken("decoder", 800, 0.0)], "decoder", 800) is None


def test_the_smallest_engines_are_not_taken_for_slow_ones(bundle: Bundle, shelf: Shelf) -> None:
    made(bundle, shelf, Smith())
    assert len(PLAN) < MIB
    assert {(each.mib, each.seconds) for each in taken_on(shelf, PLACE)} == {(1.0, 1.75)}
    assert expected_s([Taken("adaptor", 1.0, 2.0)], "adaptor", 0) == 2.0


def test_a_shelf_tells_of_its_engines_for_this_place(bundle: Bundle, shelf: Shelf) -> None:
    made(bundle, shelf, Smith())
    assert sorted(each.name for each in taken_on(shelf, PLACE)) == sorted(ENGINES)
    assert taken_on(shelf, replace(PLACE, version="1.6.0")) == []
    assert taken_on(shelf, replace(PLACE, gpu=Gpu("RTX 4090", "sm89", "13.0"))) == []


def test_a_shelf_that_is_not_there_yet_tells_nothing(tmp_path: Path) -> None:
    assert taken_on(Shelf(tmp_path / "none"), PLACE) == []


def test_what_has_no_readable_receipt_tells_nothing(bundle: Bundle, shelf: Shelf) -> None:
    first, second, *_ = made(bundle, shelf, Smith())
    (shelf.path(first.receipt.key) / RECEIPT_NAME).write_bytes(b"{")
    (shelf.path(second.receipt.key) / RECEIPT_NAME).unlink()
    (shelf.folder / "notes.txt").write_text("of the user")
    assert sorted(each.name for each in taken_on(shelf, PLACE)) == sorted(ENGINES[2:])


# --- the workshop


def steps_of(bundle: Bundle, shelf: Shelf) -> list[tuple[str, int, int]]:
    """With the real compiler."""
    told: list[tuple[str, int, int]] = []
    list(Workshop(bundle, shelf, LIMIT_MIB, lambda *step: told.append(step)).made(orders(bundle)))
    return told


def test_a_build_moves_the_bar_before_it_ends(rtx: None, bundle: Bundle, shelf: Shelf) -> None:
    *others, last = orders(bundle)
    made(bundle, shelf, Smith(), others)
    told = [step for step in steps_of(bundle, shelf) if step[0].startswith(f"building {ENGINES[-1]}")]
    counts, total = [done for _, done, _ in told], told[0][2]
    assert counts == sorted(counts) and counts[0] == total - last.need.plan_mib * MIB
    assert len({*counts}) > 3 and counts[-1] < total


def test_an_engine_of_which_nothing_is_known_tells_how_long_it_has_been(
    rtx: None, bundle: Bundle, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.engines.experience.PATIENCE_S", 0.0)
    told = steps_of(bundle, shelf)
    assert f"building {ENGINES[0]} for 0 s" in [label for label, _, _ in told]
    counts = [done for _, done, _ in told]
    assert counts == sorted(counts) and {total for _, _, total in told} == {counts[-1]}


def test_only_tensorrt_is_given_a_file_of_timings_on_the_shelf(bundle: Bundle, shelf: Shelf) -> None:
    def stop(request: BuildRequest) -> None:
        raise EdgeVLError("EVL-BUILD-FAILED", "what", "why", "fix")

    smith, orin = Smith(before=stop), Place("tensorrt", "10.15.1", Gpu("Orin", "sm87", "12.6"))
    for place in (orin, PLACE):
        with pytest.raises(EdgeVLError, match="EVL-BUILD-FAILED"):
            made(bundle, shelf, smith, orders(bundle, place))
    assert [request.timings for request in smith.requests] == [timing_file(shelf.folder, orin), None]
