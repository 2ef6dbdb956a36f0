"""What a visitor does."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from playwright.sync_api import FilePayload, FloatRect, Locator, Page, expect

from tests.edge_runtime.server.page.browser import png
from tests.edge_runtime.server.page.fake_site import FakeSite


def opened(page: Page, site: FakeSite) -> None:
    page.goto(site.url)
    expect(page.locator("#engine")).to_contain_text("Ready")


def shown(page: Page, data: bytes | None = None, name: str = "picture.png") -> None:
    file = FilePayload(name=name, mimeType="image/png", buffer=data or png())
    page.set_input_files("#file", file)
    expect(page.locator("#shown")).to_be_visible()


def asked(page: Page, question: str = "What is it?") -> None:
    """Until it is answered."""
    before = page.locator("#turns li").count()
    begun(page, question)
    expect(page.locator("#turns > li")).to_have_count(before + 1)
    expect(page.locator("#turns > li").last).to_have_attribute("data-state", "done")


def begun(page: Page, question: str = "What is it?") -> None:
    page.fill("#question", question)
    page.press("#question", "Enter")


def looked_again(page: Page) -> None:
    """The page asks how the engine is when its tab comes to the front, and so need not be waited for."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def paused(page: Page) -> None:
    """A clock that was installed at 0 stands still from here on, but for `run_for`."""
    page.clock.pause_at(30)


def answer_of(page: Page) -> str:
    return page.locator(".answer").last.inner_text()


def place_of(what: Locator) -> FloatRect:
    """In pixels of the window."""
    place = what.bounding_box()
    assert place is not None, f"{what} is not seen"
    return place


def told_until(page: Page, is_true: Callable[[], bool]) -> None:
    """Lets the browser and the server go on until something is so at the server, which tells nobody."""
    never = Event()
    for _ in range(400):
        if is_true():
            return
        page.evaluate("0")  # events of the browser are handled in here
        never.wait(0.02)
    raise AssertionError("it never came to be")
