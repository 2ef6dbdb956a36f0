"""Settings: which count, where they come from, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.origins import (
    Chosen,
    Sources,
    check_conflicts,
    chosen_from_sources,
    settings_from_chosen,
    shown,
)
from edge_runtime.server.reload import RELOADABLE, left_over, reloaded
from edge_runtime.server.settings import Settings, known_settings


def chosen(
    flags: Mapping[str, str | bool] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Mapping[str, Chosen]:
    return chosen_from_sources(Sources(flags or {}, environ or {}, file))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "serve.toml"


def refusal(code: str, **given: object) -> str:
    with pytest.raises(EdgeVLError) as caught:
        settings_from_chosen(chosen(**given))  # type: ignore[arg-type]
    assert caught.value.code == code
    return str(caught.value)


def test_a_flag_counts_before_a_variable_before_the_file_before_the_default(file: Path) -> None:
    file.write_text("port = 1\nslots = 2\nwaiting = 3\n")
    found = chosen(
        {"port": "11"}, {"EDGE_VL_SERVE_PORT": "12", "EDGE_VL_SERVE_SLOTS": "13", "HOME": "/"}, file
    )
    assert [found[name].value for name in ("port", "slots", "waiting", "max_images")] == [11, 13, 3, 8]
    assert found["port"].words() == "flag --port (over env EDGE_VL_SERVE_PORT: 12, file serve.toml line 1: 1)"
    assert found["slots"].words() == "env EDGE_VL_SERVE_SLOTS (over file serve.toml line 2: 2)"
    assert (found["waiting"].words(), found["max_images"].words()) == ("file serve.toml line 3", "default")


def test_every_kind_is_read_alike_from_a_text_and_from_the_file(file: Path) -> None:
    file.write_text(
        'bundle = "/b"\nkiosk = true\ncors_origin = ["https://a.example", "http://[::1]:90"]\nhang_timeout_s = 7\nuds = "/u"\n'
    )
    texts = {
        "BUNDLE": "/b",
        "KIOSK": "on",
        "CORS_ORIGIN": "https://a.example, http://[::1]:90",
        "HANG_TIMEOUT_S": "7",
        "UDS": "/u",
    }
    by_file = settings_from_chosen(chosen(file=file))
    assert by_file == settings_from_chosen(
        chosen(environ={f"EDGE_VL_SERVE_{name}": text for name, text in texts.items()})
    )
    assert by_file == Settings(
        Path("/b"),
        uds=Path("/u"),
        kiosk=True,
        cors_origin=("https://a.example", "http://[::1]:90"),
        hang_timeout_s=7,
    )


def test_paths_in_a_file_are_of_its_folder_and_others_of_ours(file: Path) -> None:
    file.write_text('media_dir = "pictures"\nengines = "/abs"\n')
    found = chosen({"bundle": "here"}, file=file)
    assert found["media_dir"].value == file.parent / "pictures"
    assert (found["engines"].value, found["bundle"].value) == (Path("/abs"), Path("here"))


def test_the_file_can_be_named_by_a_variable_and_a_flag_counts_before_it(file: Path, tmp_path: Path) -> None:
    file.write_text("port = 1\n")
    (tmp_path / "other.toml").write_text("port = 2\n")
    environ = {"EDGE_VL_SERVE_CONFIG": str(tmp_path / "other.toml")}
    assert chosen(environ=environ)["port"].value == 2
    assert chosen(environ=environ, file=file)["port"].value == 1


def test_a_slip_in_the_file_is_told_with_its_line_and_the_nearest_name(file: Path) -> None:
    file.write_text("slots = 3\nprot = 80\n")
    told = refusal("EVL-SETTING-UNKNOWN", file=file)
    assert all(words in told for words in ("prot is no setting", "serve.toml line 2", "did you mean port?"))


def test_a_slip_in_a_variable_is_told_with_the_nearest_name_and_without_its_value() -> None:
    told = refusal("EVL-SETTING-UNKNOWN", environ={"EDGE_VL_SERVE_API_KEY": "hunter2"})
    assert "did you mean EDGE_VL_SERVE_API_KEY_FILE?" in told
    assert "hunter2" not in told


def test_a_table_in_the_file_is_no_setting(file: Path) -> None:
    file.write_text("[serve]\nport = 80\n")
    assert "serve is no setting" in refusal("EVL-SETTING-UNKNOWN", file=file)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "65536"),
        ("port", "-1"),
        ("port", "1e3"),
        ("port", "1" * 5000),
        ("slots", "0"),
        ("slots", "true"),
        ("max_context", ""),
        ("hang_timeout_s", "0"),
        ("hang_timeout_s", "nan"),
        ("hang_timeout_s", "inf"),
        ("hang_timeout_s", "a while"),
        ("kiosk", "maybe"),
        ("media_dir", ""),
        ("media_dir", "a\0b"),
        ("metrics_compat", "other"),
        ("host", ""),
        ("cors_origin", "*"),
        ("cors_origin", "https://a.example/path"),
        ("allow_remote_images", "a.example,,b.example"),
        ("host_name", "a.example:80"),
    ],
)
def test_a_wrong_text_is_told_with_its_name_its_place_and_what_is_wanted(name: str, text: str) -> None:
    told = refusal("EVL-SETTING-VALUE", flags={"bundle": "b", name: text})
    assert f"{name} cannot be used" in told
    assert f"flag --{name.replace('_', '-')}" in told
    assert " is not " in told


@pytest.mark.parametrize(
    "line",
    [
        'port = "80"',
        "port = 80.0",
        "port = true",
        "port = [80]",
        "kiosk = 1",
        'kiosk = "true"',
        "hang_timeout_s = true",
        "hang_timeout_s = inf",
        'cors_origin = "https://a.example"',
        "cors_origin = [1]",
        "media_dir = 7",
        "engine = 2026-11-22",
        "engine = {}",
    ],
)
def test_a_wrong_type_in_the_file_is_told_with_its_line(line: str, file: Path) -> None:
    file.write_text(f"\n{line}\n")
    told = refusal("EVL-SETTING-VALUE", file=file)
    assert f"{line.split()[0]} cannot be used" in told
    assert "file serve.toml line 2" in told


def test_what_a_list_in_the_wrong_place_holds_is_not_told(file: Path) -> None:
    file.write_text('api_key_file = ["hunter2"]\n')
    assert "hunter2" not in refusal("EVL-SETTING-VALUE", file=file)


def test_a_wrong_value_is_refused_even_where_it_would_not_count() -> None:
    told = refusal("EVL-SETTING-VALUE", flags={"port": "80"}, environ={"EDGE_VL_SERVE_PORT": "eighty"})
    assert "'eighty'" in told
    assert "env EDGE_VL_SERVE_PORT" in told


def test_a_conflict_is_told_with_both_values_and_where_they_come_from(file: Path) -> None:
    file.write_text('api_key_file = "/keys"\n')
    told = refusal("EVL-SETTING-CONFLICT", flags={"bundle": "b", "insecure_no_auth": True}, file=file)
    assert "insecure_no_auth is true (flag --insecure-no-auth)" in told
    assert "api_key_file is /keys (file serve.toml line 1)" in told


@pytest.mark.parametrize(
    "flags",
    [
        {"uds": "/u", "port": "80"},
        {"uds": "/u", "host": "0.0.0.0"},
        {"uds": "/u", "health_socket": "/u"},
        {"kiosk_file": "/k"},
    ],
)
def test_what_does_not_go_together_is_refused_before_a_bundle_is_named(flags: dict[str, str | bool]) -> None:
    with pytest.raises(EdgeVLError, match="do not go together"):
        check_conflicts(chosen(flags))


def test_a_server_without_a_bundle_is_none() -> None:
    assert "edge-vl serve BUNDLE" in refusal("EVL-SETTING-MISSING")


def test_settings_made_in_python_are_checked_too() -> None:
    with pytest.raises(EdgeVLError, match="slots cannot be used"):
        Settings(Path("b"), slots=0)
    with pytest.raises(EdgeVLError, match="media_dir cannot be used"):
        Settings(Path("b"), media_dir="folder")  # type: ignore[arg-type]


def test_every_default_is_right_and_shown_in_words() -> None:
    assert Settings(Path("b")).port == 8080
    assert [shown(value) for value in (None, (), True, False, ("a", "b"), 2.5, Path("/x"))] == [
        "none", "none", "true", "false", "a,b", "2.5", "/x",
    ]  # fmt: skip
    assert next(iter(known_settings())) == "bundle"


def test_settings_read_again_are_taken_over_where_that_needs_no_new_start() -> None:
    assert known_settings().keys() >= RELOADABLE
    assert "max_pixels" not in RELOADABLE, "the worker has its own, from its start"
    old = Settings(Path("b"), slots=2, max_images=3)
    new = Settings(Path("b"), slots=5, max_images=4, cors_origin=("https://a.example",))
    assert reloaded(old, new) == Settings(
        Path("b"), slots=2, max_images=4, cors_origin=("https://a.example",)
    )
    assert left_over(old, new) == ["slots"]
