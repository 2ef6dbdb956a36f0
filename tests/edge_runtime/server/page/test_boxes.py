"""Boxes in answers, drawn over the picture."""

import pytest
from playwright.sync_api import FloatRect, Page, expect

from tests.edge_runtime.server.page.browser import png
from tests.edge_runtime.server.page.fake_site import FakeSite
from tests.edge_runtime.server.page.steps import answer_of, asked, opened, place_of, shown

PLACES = (
    ((192, 192), " [339,083,594,339]", (0.339, 0.083, 0.594, 0.339)),
    ((192, 192), "at [ 1, 2,30 ,400 ] it is", (0.001, 0.002, 0.03, 0.4)),
    # The model sees a wide picture with a band above and below: its middle half is the whole height.
    ((400, 200), "[100,250,500,750]", (0.1, 0.0, 0.5, 1.0)),
    ((400, 200), "[000,375,999,500]", (0.0, 0.25, 0.999, 0.5)),
    ((100, 300), "[400,100,600,200]", (0.2, 0.1, 0.8, 0.2)),
    ((100, 300), "[000,100,500,200]", (0.0, 0.1, 0.5, 0.2)),
)
NO_BOXES = ("[500,200,100,600]", "[1,2,3]", "[1,2,3,4,5]", "[1000,2,3000,4]", "[a,b,c,d]")


def places(page: Page) -> list[tuple[float, ...]]:
    """Left, top, right and bottom of every box, in shares of the picture as it is seen."""
    around = place_of(page.locator("#shown"))
    return [shares_of(place_of(box), around) for box in page.locator(".box").all()]


def shares_of(inside: FloatRect, around: FloatRect) -> tuple[float, ...]:
    left, top = (inside["x"] - around["x"]) / around["width"], (inside["y"] - around["y"]) / around["height"]
    return (
        left,
        top,
        left + inside["width"] / around["width"],
        top + inside["height"] / around["height"],
    )


def test_a_box_lies_where_the_model_saw_it(page: Page, site: FakeSite) -> None:
    opened(page, site)
    for size, text, wanted in PLACES:
        site.pieces = (text[:7], text[7:])
        shown(page, png(*size))
        expect(page.locator("#turns li")).to_have_count(0)
        asked(page)
        (place,) = places(page)
        assert place == pytest.approx(wanted, abs=0.004), (size, text)


def test_a_box_stays_in_its_place_when_the_window_changes(page: Page, site: FakeSite) -> None:
    site.pieces = ("[100,200,500,600]",)
    opened(page, site)
    shown(page)
    asked(page)
    for width, height in ((390, 800), (900, 540), (1600, 1000)):
        page.set_viewport_size({"width": width, "height": height})
        assert places(page)[0] == pytest.approx((0.1, 0.2, 0.5, 0.6), abs=0.008)


def test_what_is_no_box_is_left_as_text(page: Page, site: FakeSite) -> None:
    opened(page, site)
    shown(page)
    for text in NO_BOXES:
        site.pieces = (text,)
        asked(page)
        assert answer_of(page) == text
        assert page.locator(".box, .mark").count() == 0, text


def test_a_box_is_seen_as_soon_as_it_is_said(page: Page, site: FakeSite) -> None:
    site.pieces, site.held_at = ("[100,200,500,600]", " and more"), 1
    opened(page, site)
    shown(page)
    page.fill("#question", "Where?")
    page.keyboard.press("Enter")
    expect(page.locator(".box")).to_have_count(1)
    site.go_on()
    expect(page.locator("#turns li")).to_have_attribute("data-state", "done")


def test_boxes_are_told_apart_and_pointed_at_from_the_words(page: Page, site: FakeSite) -> None:
    site.pieces = ("One is at [100,100,200,200], one at [300,300,400,400].",)
    opened(page, site)
    shown(page)
    asked(page)
    assert page.locator(".answer").inner_text() == site.pieces[0]
    second = page.get_by_role("button", name="Box 2")
    second.focus()
    expect(page.locator(".box.pointed")).to_have_attribute("data-number", "2")
    second.blur()
    expect(page.locator(".box.pointed")).to_have_count(0)


def test_boxes_are_of_the_last_answer_until_an_older_one_is_pointed_at(page: Page, site: FakeSite) -> None:
    opened(page, site)
    shown(page)
    site.pieces = ("[100,100,200,200]",)
    asked(page)
    site.pieces = ("nothing there",)
    asked(page)
    expect(page.locator(".box")).to_have_count(0)
    page.locator(".mark").hover()
    expect(page.locator(".box")).to_have_count(1)


def test_boxes_are_drawn_again_after_a_reload(page: Page, site: FakeSite) -> None:
    site.pieces = ("[100,200,500,600]",)
    opened(page, site)
    shown(page)
    asked(page)
    page.reload()
    expect(page.locator(".box")).to_have_count(1)


def test_without_a_picture_no_box_is_drawn(page: Page, site: FakeSite) -> None:
    site.pieces = ("[100,200,500,600]",)
    opened(page, site)
    asked(page)
    assert page.locator(".box").count() == 0
