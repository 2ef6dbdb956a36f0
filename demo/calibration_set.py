"""Pictures of the demo model's training set for `edge-vl calibrate --samples`: `python -m demo.calibration_set FOLDER`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from demo.command import Parser, status_told
from demo.data.generator import PICTURED, scene_of
from edge_runtime.errors import EdgeVLError
from edge_runtime.publish import staged_folder

SEED = 7  # of the pictures the demo model learnt from
LISTING = "samples.jsonl"
MOST = 100_000


def write_samples(folder: Path, count: int) -> Path:
    """`count` pictures in `folder`, which must not exist, and the list of what is asked about them."""
    if not 1 <= count <= MOST:
        what, why = f"{count} pictures cannot be drawn", f"there are 1 to {MOST}"
        raise EdgeVLError("EVL-USAGE", what, why, "give --count one of these")
    with staged_folder(folder) as made:
        lines = [written_sample(made, index) for index in range(count)]
        (made / LISTING).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / LISTING


def written_sample(folder: Path, index: int) -> str:
    scene = scene_of(SEED, "train", index, PICTURED)
    assert scene.picture is not None, "only dialogue has none"
    scene.picture.save(folder / f"{index}.png")
    return json.dumps({"image": f"{index}.png", "prompt": scene.questions[0].text})


def parser_of_command() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m demo.calibration_set", description=__doc__)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="to make; must not exist")
    parser.add_argument("--count", type=int, default=64, metavar="N", help="pictures (default: 64)")
    return parser


def main() -> int:
    try:
        arguments = parser_of_command().parse_args()
        write_samples(arguments.folder, arguments.count)
    except EdgeVLError as error:
        return status_told(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
