"""What a unit file says, drop-ins counted, without systemd."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from edge_vl.parser import parsed_arguments

UNITS = Path(str(resources.files("jetson") / "units"))
UNIT, CONFIG = UNITS / "edge-vl.service", UNITS / "serve.toml"
DROP_INS = ("kiosk.conf", "beyond.conf")
SECONDS: Mapping[str, float] = {"": 1, "s": 1, "min": 60, "h": 3600}
SECTION = re.compile(r"\[(\w+)\]")


@dataclass(frozen=True)
class UnitFile:
    """By section and name all values in their order; none where the last word was that there are none."""

    sections: Mapping[str, Mapping[str, tuple[str, ...]]]

    def values(self, name: str) -> tuple[str, ...]:
        return self.sections["Service"][name]

    def value(self, name: str) -> str:
        (only,) = self.values(name)
        return only

    def seconds(self, name: str) -> float:
        found = re.fullmatch(r"(\d+)(\w*)", self.value(name))
        assert found is not None, f"{name} is no plain time"
        return int(found[1]) * SECONDS[found[2]]

    @property
    def names(self) -> set[str]:
        return {name for section in self.sections.values() for name in section}

    @property
    def flags(self) -> Mapping[str, object]:
        """What edge-vl makes of the words it is started with."""
        return vars(parsed_arguments(shlex.split(self.value("ExecStart"))[1:]))


def unit_with(*drop_ins: str) -> UnitFile:
    sections: dict[str, dict[str, tuple[str, ...]]] = {}
    for path in (UNIT, *(UNITS / name for name in drop_ins)):
        section: dict[str, tuple[str, ...]] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            if named := SECTION.fullmatch(line):
                section = sections.setdefault(named[1], {})
            elif line and not line.startswith("#"):
                name, equals, value = line.partition("=")
                assert equals, f"{path.name}: {line!r} says nothing"
                section[name] = (*section.get(name, ()), value) if value else ()
    return UnitFile(sections)
