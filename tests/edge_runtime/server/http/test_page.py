import asyncio
import json
import re
from collections.abc import Mapping
from importlib import resources

import pytest
from fastapi import FastAPI

from edge_runtime.server.http.page import HEADERS, KINDS, POLICY, page_router
from edge_runtime.server.kiosk import Kiosk
from tests.edge_runtime.server.http.asgi import NO_HEADERS, Reply, call

PAGE = resources.files("edge_runtime.server") / "page"
LARGEST_BYTES = 60_000  # of the whole page


def asked(
    path: str, headers: Mapping[str, str] = NO_HEADERS, method: str = "GET", kiosk: Kiosk | None = None
) -> Reply:
    app = FastAPI()
    app.include_router(page_router(kiosk))
    return asyncio.run(call(app, method, path, headers=headers))


def directives() -> dict[str, str]:
    return dict(part.strip().partition(" ")[::2] for part in POLICY.split(";"))


def test_the_page_is_at_the_root() -> None:
    reply = asked("/")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.body == (PAGE / "index.html").read_bytes()


@pytest.mark.parametrize("name", KINDS)
def test_every_file_comes_with_its_type_and_what_keeps_browsers_strict(name: str) -> None:
    reply = asked(f"/page/{name}")
    assert reply.status == 200
    assert reply.headers["content-type"] == KINDS[name]
    assert {key: reply.headers[key.lower()] for key in HEADERS} == dict(HEADERS)


def test_only_files_of_the_page_are_given() -> None:
    for name in ("nothing.js", "..", "../kiosk.py", "%2e%2e/kiosk.py", "__init__.py"):
        assert asked(f"/page/{name}").status == 404
    assert asked("/page/nothing.js").json["error"]["code"] == "http_404"


def test_every_file_of_the_folder_is_given() -> None:
    assert {entry.name for entry in PAGE.iterdir()} == set(KINDS)


def test_every_file_that_another_one_names_is_there() -> None:
    for name in KINDS:
        text = (PAGE / name).read_text(encoding="utf-8")
        named = re.findall(r'from "\./([^"]+)"', text) + re.findall(r'(?:href|src)="/page/([^"]+)"', text)
        assert set(named) <= set(KINDS), name


def test_the_page_stays_small() -> None:
    assert sum(len((PAGE / name).read_bytes()) for name in KINDS) < LARGEST_BYTES


def test_a_file_that_a_browser_has_is_not_sent_again() -> None:
    tag = asked("/page/main.js").headers["etag"]
    again = asked("/page/main.js", {"If-None-Match": tag})
    assert (again.status, again.body) == (304, b"")
    assert asked("/page/main.js", {"If-None-Match": '"other"'}).status == 200
    assert asked("/page/page.css").headers["etag"] != tag


def test_a_browser_asks_every_time_whether_the_page_changed() -> None:
    assert asked("/").headers["cache-control"] == "no-cache"


def test_the_policy_lets_nothing_in_but_the_page_itself() -> None:
    assert directives() | {"trusted-types": "'none'"} == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' blob: data:",
        "connect-src": "'self'",
        "media-src": "'self' blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


def test_no_script_writes_markup_and_no_markup_holds_script_or_style() -> None:
    for name in KINDS:
        text = (PAGE / name).read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), name
    index = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)|https?://", index)


def test_without_a_kiosk_the_settings_say_so() -> None:
    reply = asked("/page/settings.json")
    assert reply.headers["content-type"] == "application/json"
    assert reply.json == {"kiosk": False}


def test_a_kiosk_is_described_in_the_settings() -> None:
    kiosk = Kiosk(title="Schönes", questions=("Was?",), idle_reset_s=30, can_type=True)
    settings = asked("/page/settings.json", kiosk=kiosk).json
    assert settings["kiosk"] is True
    assert settings == json.loads(json.dumps(kiosk.settings()))
    assert (settings["title"], settings["questions"]) == ("Schönes", ["Was?"])


def test_the_page_is_no_part_of_the_api_that_is_described() -> None:
    app = FastAPI()
    app.include_router(page_router(None))
    assert app.openapi()["paths"] == {}


def test_only_reading_is_allowed() -> None:
    assert asked("/", method="HEAD").status == 200
    assert asked("/", method="POST").status == 405
