"""The example of a file of settings: `edge-vl serve` reads it, with what is commented out in it too."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.edge_vl.command import ran
from tests.jetson.unit_file import CONFIG

PROPOSED = re.compile(r"^# (?=[a-z_]+ = )", re.MULTILINE)


def settings_in(file: Path) -> dict[str, dict[str, object]]:
    told = ran("serve", "--config", file, "--print-config", "--json")
    assert told.status == 0, told.err
    return told.record()


def test_the_example_is_read_as_it_stands() -> None:
    settings = settings_in(CONFIG)
    assert settings["bundle"]["value"] == "/opt/edge-vl/bundle"
    assert settings["host"]["value"] == "127.0.0.1"


def test_what_the_example_proposes_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    text, proposals = PROPOSED.subn("", CONFIG.read_text(encoding="utf-8"))
    file.write_text(text, encoding="utf-8")
    settings = settings_in(file)
    from_file = [name for name, each in settings.items() if each["origin"] == "file"]
    assert proposals >= 5
    assert {"host", "host_name", "kiosk", "kiosk_file", "worker_python"} <= set(from_file)
    assert settings["kiosk_file"]["value"] == str(tmp_path / "kiosk.toml")


@pytest.mark.parametrize("name", ["drain_notice_s", "drain_timeout_s", "slots", "waiting"])
def test_what_the_example_says_is_what_it_would_be_anyway(name: str) -> None:
    told = ran("serve", "--print-config", "--json")
    assert settings_in(CONFIG)[name]["value"] == json.loads(told.out.splitlines()[-1])[name]["value"]
