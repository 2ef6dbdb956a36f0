"""The page before everything that stands between it and the engine: guards, keys, routes, pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Page, expect

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.drain import Drain
from edge_runtime.server.engine import Health
from edge_runtime.server.front import WholeFront
from edge_runtime.server.meter import Meter
from edge_runtime.server.settings import Settings
from tests.edge_runtime.server.fake_engine import FakeEngine
from tests.edge_runtime.server.page.browser import png
from tests.edge_runtime.server.page.fake_site import running
from tests.edge_runtime.server.page.steps import answer_of, asked, begun, looked_again, shown, told_until

KEY = "k" * 40


@contextmanager
def fronted(engine: FakeEngine, **more: object) -> Iterator[str]:
    settings = Settings(Path("bundle"), port=0, **more)  # type: ignore[arg-type]
    front = WholeFront(settings, engine, Meter())
    config = front.config(front.app(settings, Drain()), settings, is_asked=True)
    config.lifespan, config.log_level = "off", "warning"
    with running(uvicorn.Server(config)) as url:
        yield url


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(("It ", "is at [100,200,300,400]."))


def visited(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.locator("#engine")).to_contain_text("Ready")


def test_a_question_reaches_the_engine_with_its_picture_and_comes_back(
    page: Page, engine: FakeEngine
) -> None:
    with fronted(engine) as url:
        visited(page, url)
        expect(page.locator("#model")).to_have_text("fake-vl")
        shown(page, png(64, 48))
        asked(page, "Where is it?")
        assert answer_of(page) == "It is at [100,200,300,400]."
        assert page.locator(".box").count() == 1
        expect(page.locator(".figures")).to_contain_text("11 ms · 500.0 tokens/s · 2 tokens said · 0 of")
        asked(page, "And now?")
    first, second = engine.asked
    assert first.pictures == second.pictures == (png(64, 48),)
    assert [turn.text for turn in second.prompt.turns] == ["Where is it?", answer_text(engine), "And now?"]


def answer_text(engine: FakeEngine) -> str:
    return "".join(engine.texts)


def test_a_picture_that_the_server_does_not_take_is_refused_in_its_words(
    page: Page, engine: FakeEngine
) -> None:
    with fronted(engine, max_pixels=1000) as url:
        visited(page, url)
        shown(page, png(64, 48))
        begun(page)
        expect(page.locator(".note")).to_contain_text("picture")
        expect(page.locator("#turns li")).to_have_attribute("data-state", "failed")


def test_what_the_engine_refuses_is_told(page: Page, engine: FakeEngine) -> None:
    why = "300 tokens are more than the 256 there is room for"
    engine.fault = EdgeVLError("EVL-CONTEXT-OVERFLOW", "this is too long", why, "ask less")
    with fronted(engine) as url:
        visited(page, url)
        begun(page)
        expect(page.locator(".note")).to_have_text(f"This is too long: {why}: ask less.")


def test_an_engine_that_goes_away_is_seen_to_go_and_to_come_back(page: Page, engine: FakeEngine) -> None:
    with fronted(engine) as url:
        visited(page, url)
        engine.health = Health("restarting")
        looked_again(page)
        expect(page.locator("#engine")).to_contain_text("You can ask again as soon as it is back.")
        engine.health = Health("ready")
        looked_again(page)
        expect(page.locator("#ask")).to_be_enabled()


def test_the_page_comes_without_a_key_and_its_questions_with_one(
    page: Page, engine: FakeEngine, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n")
    keys.chmod(0o600)
    with fronted(engine, api_key_file=keys) as url:
        visited(page, url)
        page.fill("#key", "wrong" * 8)
        page.press("#key", "Enter")
        expect(page.locator("#access-note")).to_contain_text("did not take that key")
        page.fill("#key", KEY)
        page.press("#key", "Enter")
        expect(page.locator("#access")).to_be_hidden()
        asked(page)


def test_stopping_ends_the_work_of_the_engine(page: Page, engine: FakeEngine) -> None:
    engine.gate.clear()
    engine.gated = 1
    with fronted(engine) as url:
        visited(page, url)
        begun(page)
        expect(page.locator(".answer")).to_have_text("It")
        page.click("#stop")
        expect(page.locator("#turns li")).to_have_attribute("data-state", "stopped")
        told_until(page, lambda: engine.left == engine.asked)


def test_a_kiosk_is_made_of_its_file(page: Page, engine: FakeEngine, tmp_path: Path) -> None:
    file = tmp_path / "kiosk.toml"
    file.write_text('title = "Look!"\nquestions = ["What is it?"]\n')
    with fronted(engine, kiosk=True, kiosk_file=file) as url:
        visited(page, url)
        assert page.locator("h1").inner_text() == "Look!"
        page.click("#shoot")
        page.get_by_role("button", name="What is it?").click()
        expect(page.locator("#turns li")).to_have_attribute("data-state", "done")
    assert len(engine.asked[0].pictures) == 1
