"""What is seen while the engine is away."""

from playwright.sync_api import Page, Route, expect

from tests.edge_runtime.server.page.fake_site import FakeSite, Refused, served
from tests.edge_runtime.server.page.steps import asked, begun, looked_again, opened, shown, told_until

CONDITIONS = {
    "starting": "The engine is starting. You can ask as soon as it is ready.",
    "failed": "The engine cannot be started. It does not come back by itself.",
    "draining": "The server is about to end. You can ask again as soon as it is back.",
    "unheard-of": "The engine answers no questions now. You can ask again as soon as it is back.",
}


def test_asking_waits_until_the_engine_is_back_and_comes_back_by_itself(page: Page, site: FakeSite) -> None:
    page.clock.install()
    opened(page, site)
    shown(page)
    site.condition, site.why = "restarting", "the engine ended and is being opened anew"
    page.clock.run_for(6000)
    words = "The engine ended and is being opened anew. You can ask again as soon as it is back."
    expect(page.locator("#engine")).to_have_text(words)
    expect(page.locator("#ask")).to_be_disabled()
    begun(page, "Now?")
    assert site.asked == []
    assert page.locator("#question").input_value() == "Now?"
    site.condition = "ready"
    page.clock.run_for(3000)
    expect(page.locator("#engine")).to_have_text("Ready")
    page.click("#ask")
    expect(page.locator("#turns li")).to_have_attribute("data-state", "done")


def test_every_condition_is_said_in_words(page: Page, site: FakeSite) -> None:
    opened(page, site)
    assert page.locator("#engine").get_attribute("role") == "status"
    for site.condition, words in CONDITIONS.items():
        looked_again(page)
        expect(page.locator("#engine")).to_have_text(words)
        expect(page.locator("#ask")).to_be_disabled()


def test_a_server_that_is_gone_is_said_to_be(page: Page) -> None:
    site = FakeSite()
    page.clock.install()
    with served(site.app) as site.url:
        opened(page, site)
        asked(page)
    page.clock.run_for(6000)
    expect(page.locator("#engine")).to_contain_text("The server cannot be reached.")
    expect(page.locator("#ask")).to_be_disabled()
    expect(page.locator(".answer")).to_have_text("It is red.")


def test_a_page_that_was_opened_too_early_begins_by_itself(page: Page, site: FakeSite) -> None:
    page.clock.install()
    page.route("**/page/settings.json", lambda route: route.abort())
    page.goto(site.url)
    expect(page.locator("#engine")).to_contain_text("Trying again")
    page.unroute("**/page/settings.json")
    page.clock.run_for(3000)
    expect(page.locator("#engine")).to_have_text("Ready")


def test_the_model_is_named(page: Page, site: FakeSite) -> None:
    opened(page, site)
    expect(page.locator("#model")).to_have_text("fake-vl")


def test_a_question_that_fails_shows_at_once_that_the_engine_is_away(page: Page, site: FakeSite) -> None:
    opened(page, site)
    site.condition = "restarting"
    site.refusals = [Refused(503, "the engine is not there at the moment")]
    begun(page)
    expect(page.locator("#engine")).to_have_attribute("data-condition", "restarting", timeout=2000)
    expect(page.locator("#ask")).to_be_disabled()


def test_an_older_word_about_the_engine_does_not_undo_a_newer_one(page: Page, site: FakeSite) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    opened(page, site)
    page.route("**/health/ready", hold)
    looked_again(page)
    told_until(page, lambda: len(held) == 1)
    looked_again(page)
    told_until(page, lambda: len(held) == 2)
    held[1].fulfill(status=503, json={"status": "failed", "why": ""})
    expect(page.locator("#engine")).to_have_attribute("data-condition", "failed")
    held[0].fulfill(status=200, json={"status": "ready", "why": ""})
    page.evaluate("fetch('/page/settings.json').then((response) => response.json())")
    expect(page.locator("#engine")).to_have_attribute("data-condition", "failed")
