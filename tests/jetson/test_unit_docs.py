"""What the page about the service tells people to type is what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from edge_vl.parser import parsed_arguments
from tests.jetson.unit_file import UNITS, unit_with

PAGE = (Path(__file__).parents[2] / "docs" / "serving" / "service.md").read_text(encoding="utf-8")
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
TYPED = [line for line in SHELL if "bin/edge-vl " in line] + re.findall(r"`(edge-vl [^`]+)`", PAGE)


@pytest.mark.parametrize("line", TYPED)
def test_its_commands_are_understood(line: str) -> None:
    words = shlex.split(line, comments=True)
    assert parsed_arguments(words[1:]).verb


def test_there_are_commands_to_be_understood() -> None:
    assert len(TYPED) >= 2


@pytest.mark.parametrize("path", sorted(UNITS.iterdir()), ids=lambda path: path.name)
def test_every_file_that_ships_is_told_of(path: Path) -> None:
    assert path.name in PAGE


def test_what_is_installed_is_where_the_unit_looks_for_it() -> None:
    unit = unit_with()
    text = "\n".join(SHELL)
    _, _, keys = unit.value("LoadCredential").partition(":")
    program = shlex.split(unit.value("ExecStart"))[0]
    assert f"> {keys})" in text
    assert program in text
    assert f"{unit.flags['config']}\n" in text


def test_the_end_of_a_quarter_of_an_hour_is_told_as_the_unit_has_it() -> None:
    section = unit_with().sections["Unit"]
    assert (section["StartLimitBurst"], section["StartLimitIntervalSec"]) == (("5",), ("15min",))
    assert "five starts that fail in a quarter of an hour" in PAGE
