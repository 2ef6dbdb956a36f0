"""`edge-vl export`: what it says besides what it writes."""

from __future__ import annotations

import re
from pathlib import Path

from edge_runtime.bundle import Bundle
from tests.edge_vl.command import PROGRESS, Ran, assert_refused, ran

TERMS = "Use it for good.\n"
LIMIT_BYTES = 16 << 20


def exported(checkpoint: Path, out: Path, *more: str) -> Ran:
    result = ran("export", checkpoint, out, "--precision", "fp32", *more)
    assert result.status == 0, result.err
    return result


def notes_of(result: Ran) -> list[str]:
    return [line for line in result.err.splitlines() if not PROGRESS.match(line)]


def test_a_checkpoint_without_a_licence_is_told_in_one_line(checkpoint: Path, tmp_path: Path) -> None:
    result = exported(checkpoint, tmp_path / "out", "--json")
    assert result.record()["licences"] == []
    (told,) = notes_of(result)
    assert "no licence lies beside config.json" in told


def test_licences_of_any_spelling_and_name_travel_with_the_weights(
    own_checkpoint: Path, tmp_path: Path
) -> None:
    long = "license" + "x" * 240
    for name in ("license.txt", "MODEL_LICENSE", "COPYING", "+Notice", "License (1).md", long):
        (own_checkpoint / name).write_text(TERMS + name, encoding="utf-8")
    with (own_checkpoint / "notice.bin").open("wb") as file:
        file.truncate(LIMIT_BYTES + 1)
    result = exported(own_checkpoint, tmp_path / "out", "--json")
    places = {
        "license.txt": "license.txt",
        "MODEL_LICENSE": "MODEL_LICENSE",
        "COPYING": "COPYING",
        "+Notice": "LICENSE",
        "License (1).md": "License_1_.md",
        long: "other_LICENSE",
    }
    assert result.record()["licences"] == sorted(places.values())
    listed = {entry.path for entry in Bundle.open(tmp_path / "out").manifest.files}
    for name, place in places.items():
        assert (tmp_path / "out" / place).read_text(encoding="utf-8") == TERMS + name
        assert place in listed
    assert [note[:60] for note in notes_of(result)] == [
        "'+Notice' is LICENSE in the bundle",
        "'License (1).md' is License_1_.md in the bundle",
        f"{long!r:.60}",
        "not taken for licences, being larger than 16 MiB: notice.bin",
    ]


def test_the_shortest_context_has_room_for_a_question_about_a_picture_and_one_less_is_refused(
    checkpoint: Path, picture: Path, tmp_path: Path
) -> None:
    refused = ran("export", checkpoint, tmp_path / "out", "--max-context", "17")
    assert_refused(refused, "EVL-CONTEXT-LIMIT")
    shortest = int(re.findall(r"--max-context from (\d+) to", refused.err)[0])
    assert_refused(
        ran("export", checkpoint, tmp_path / "out", "--max-context", str(shortest - 1)), "EVL-CONTEXT-LIMIT"
    )
    assert not (tmp_path / "out").exists()
    exported(checkpoint, tmp_path / "out", "--max-context", str(shortest))
    asked = ran("run", tmp_path / "out", "--image", picture, "--prompt", "", "--max-tokens", "1")
    assert asked.status == 0, asked.err
