"""The page on a screen in a public place."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from edge_runtime.server.kiosk import Kiosk
from tests.edge_runtime.server.page.fake_site import FakeSite, served
from tests.edge_runtime.server.page.steps import looked_again, paused

KIOSK = Kiosk(title="What is this?", questions=("What is it?", "How many?"), idle_reset_s=60, countdown_s=10)


@pytest.fixture
def kiosk() -> Iterator[FakeSite]:
    fake = FakeSite(KIOSK)
    with served(fake.app) as fake.url:
        yield fake


def looked(page: Page, kiosk: FakeSite) -> None:
    """Until a picture was taken."""
    page.goto(kiosk.url)
    page.click("#shoot")
    expect(page.locator("#shown")).to_be_visible()


def chosen(page: Page, question: str = "What is it?") -> None:
    page.get_by_role("button", name=question).click()
    expect(page.locator("#turns > li").last).to_have_attribute("data-state", "done")


def test_a_question_is_asked_by_touching_it(page: Page, kiosk: FakeSite) -> None:
    looked(page, kiosk)
    assert page.locator("h1").inner_text() == "What is this?"
    chosen(page, "How many?")
    assert page.locator(".answer").inner_text() == "It is red."
    assert kiosk.asked[0]["messages"][0]["content"][1]["text"] == "How many?"


def test_questions_wait_for_a_picture(page: Page, kiosk: FakeSite) -> None:
    page.goto(kiosk.url)
    expect(page.locator("#live")).to_be_visible()
    for preset in page.locator("#presets button").all():
        expect(preset).to_be_disabled()


def test_nothing_can_be_typed_chosen_or_dropped(page: Page, kiosk: FakeSite) -> None:
    page.goto(kiosk.url)
    expect(page.locator("#live")).to_be_visible()
    for id in ("question", "key", "choose"):
        expect(page.locator(f"#{id}")).to_be_hidden()
    assert page.locator("a").count() == 0


def test_without_a_key_it_says_so_asks_for_none_and_goes_on_when_none_is_wanted_any_more(
    page: Page, kiosk: FakeSite
) -> None:
    kiosk.key = "secret"
    looked(page, kiosk)
    expect(page.locator("#engine")).to_contain_text("none can be typed here")
    expect(page.locator("#access")).to_be_hidden()
    expect(page.locator("#presets button").first).to_be_disabled()
    kiosk.key = None
    looked_again(page)
    expect(page.locator("#presets button").first).to_be_enabled()


def test_an_answer_can_be_stopped(page: Page, kiosk: FakeSite) -> None:
    kiosk.held_at = 1
    looked(page, kiosk)
    page.get_by_role("button", name="What is it?").click()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#turns li")).to_have_attribute("data-state", "stopped")


def test_who_goes_away_is_counted_down_and_leaves_nothing(page: Page, kiosk: FakeSite) -> None:
    page.clock.install(time=0)
    looked(page, kiosk)
    paused(page)
    chosen(page)
    page.clock.run_for(49_500)
    expect(page.locator("#idle")).to_be_hidden()
    page.clock.run_for(4_000)
    expect(page.locator("#idle")).to_be_visible()
    expect(page.locator("#idle-count")).to_have_text("Starting over in 7 s")
    page.clock.run_for(8_000)
    expect(page.locator("#idle")).to_be_hidden()
    expect(page.locator("#turns li")).to_have_count(0)
    expect(page.locator("#live")).to_be_visible()
    assert page.evaluate("sessionStorage.length + localStorage.length") == 0


def test_whoever_is_still_there_goes_on(page: Page, kiosk: FakeSite) -> None:
    page.clock.install(time=0)
    looked(page, kiosk)
    paused(page)
    chosen(page)
    page.clock.run_for(55_000)
    page.mouse.move(5, 5)
    page.mouse.move(9, 9)
    expect(page.locator("#idle")).to_be_visible()
    page.get_by_role("button", name="I am still here").click()
    expect(page.locator("#idle")).to_be_hidden()
    page.clock.run_for(40_000)
    expect(page.locator(".answer")).to_have_text("It is red.")


def test_nobody_is_counted_down_while_an_answer_is_said(page: Page, kiosk: FakeSite) -> None:
    kiosk.held_at = 1
    page.clock.install()
    looked(page, kiosk)
    page.get_by_role("button", name="What is it?").click()
    expect(page.locator(".answer")).to_have_text("It")
    page.clock.run_for(90_000)
    expect(page.locator("#idle")).to_be_hidden()
    kiosk.go_on()
    expect(page.locator("#turns li")).to_have_attribute("data-state", "done")


def test_start_over_begins_with_the_camera(page: Page, kiosk: FakeSite) -> None:
    looked(page, kiosk)
    chosen(page)
    page.get_by_role("button", name="Start over").click()
    expect(page.locator("#turns li")).to_have_count(0)
    expect(page.locator("#live")).to_be_visible()
    expect(page.locator("#fresh")).to_be_hidden()


def test_a_camera_that_was_left_open_stays_the_same_one_for_the_next_visitor(
    page: Page, kiosk: FakeSite
) -> None:
    looked(page, kiosk)
    page.get_by_role("button", name="Take another picture").click()
    expect(page.locator("#live")).to_be_visible()
    track = "document.querySelector('#live').srcObject.getTracks()[0].id"
    before = page.evaluate(track)
    page.get_by_role("button", name="Start over").click()
    expect(page.locator("#live")).to_be_visible()
    assert page.evaluate(track) == before
