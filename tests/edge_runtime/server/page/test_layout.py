"""How it looks: widths, colours, sizes to touch, and what the browser is allowed to do."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.edge_runtime.server.page.browser import png, watched
from tests.edge_runtime.server.page.fake_site import FakeSite, Refused
from tests.edge_runtime.server.page.steps import asked, begun, looked_again, opened, place_of, shown

LEAST_CONTRAST = 4.5  # WCAG AA, of text in ordinary size
SMALLEST_TOUCH = 44  # pixels
WIDTHS = (320, 390, 859, 860, 1280)
TEXTS = ("h1", "#model", "#hint", "#choose", "#ask", "#keys")
TEXTS_OF_TURNS = (".question", ".answer", ".figures", ".note", "#fresh")
CONTRAST = """(selector) => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const light = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
    const linear = [red, green, blue].map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const element = [...document.querySelectorAll(selector)].at(-1);
  const isBare = (each) => getComputedStyle(each).backgroundColor === "rgba(0, 0, 0, 0)";
  let below = element;
  while (isBare(below)) below = below.parentElement;
  const [one, other] = [getComputedStyle(element).color, getComputedStyle(below).backgroundColor].map(light);
  return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
}"""

FORBIDDEN = {
    "new Image().src = 'http://example.invalid/a.png'": "img-src",
    "fetch('http://example.invalid/').catch(() => 0)": "connect-src",
    "document.body.setAttribute('style', 'color: red')": "style-src-attr",
    "document.body.append(Object.assign(document.createElement('iframe'), { src: '/' }))": "frame-src",
    "document.body.innerHTML = '<b>no</b>'": "require-trusted-types-for",
    "document.createElement('script').text = '1'": "require-trusted-types-for",
    "document.body.setAttribute('onclick', '1')": "require-trusted-types-for",
}
VIOLATED = """() => new Promise((resolve) => {
  const told = (event) => resolve(event.effectiveDirective);
  document.addEventListener("securitypolicyviolation", told, { once: true });
  try { attempt(); } catch (fault) { if (!(fault instanceof TypeError)) throw fault; }
})"""


def widest_overflow(page: Page) -> int:
    found: list[int] = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 700})
        script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        found.append(page.evaluate(script))
    return max(found)


def test_nothing_is_wider_than_the_window(page: Page, site: FakeSite) -> None:
    opened(page, site)
    assert widest_overflow(page) == 0
    site.pieces = ("x" * 300, " [100,200,300,400] " * 12)
    shown(page, png(600, 100), name="long" * 40 + ".png")
    asked(page, "y" * 300)
    page.locator("summary").click()
    assert widest_overflow(page) == 0
    site.condition = "restarting"
    looked_again(page)
    expect(page.locator("#ask")).to_be_disabled()
    assert widest_overflow(page) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_in_dark(browser: Browser, site: FakeSite, scheme: str) -> None:
    with watched(browser, color_scheme=scheme) as page:
        opened(page, site)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(22, 22, 20)") == (scheme == "dark")
        contrasts = {each: page.evaluate(CONTRAST, each) for each in TEXTS}
        asked(page)
        site.refusals = [Refused(400, "no")]
        begun(page)
        expect(page.locator("#turns li").last).to_have_attribute("data-state", "failed")
        contrasts |= {each: page.evaluate(CONTRAST, each) for each in TEXTS_OF_TURNS}
        site.condition = "failed"
        looked_again(page)
        expect(page.locator("#engine")).to_contain_text("cannot be started")
        contrasts |= {each: page.evaluate(CONTRAST, each) for each in ("#engine", "#ask")}
        assert {each: found for each, found in contrasts.items() if found < LEAST_CONTRAST} == {}


def test_what_is_touched_is_large_enough(browser: Browser, site: FakeSite) -> None:
    with watched(browser, has_touch=True, is_mobile=True) as page:
        page.set_viewport_size({"width": 360, "height": 640})
        opened(page, site)
        shown(page)
        page.locator("#question").tap()
        asked(page)
        for control in page.locator("button:visible, textarea:visible").all():
            assert place_of(control)["height"] >= SMALLEST_TOUCH, control


def test_the_picture_stays_in_sight_on_a_phone(page: Page, site: FakeSite) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    opened(page, site)
    shown(page)
    site.pieces = ("word " * 400,)
    asked(page)
    assert page.evaluate("window.scrollY") > 0
    box = place_of(page.locator("#shown"))
    assert 0 <= box["y"] < 400
    end, composer = (place_of(page.locator(each))["y"] for each in ("#end", "#asking"))
    assert end <= composer


def test_nothing_moves_for_those_who_want_no_motion(browser: Browser, site: FakeSite) -> None:
    with watched(browser, reduced_motion="reduce") as page:
        site.condition = "starting"
        page.goto(site.url)
        expect(page.locator("#engine")).to_contain_text("starting")
        assert page.evaluate("getComputedStyle(document.querySelector('.lamp')).animationName") == "none"


def test_every_control_has_a_name(page: Page, site: FakeSite) -> None:
    opened(page, site)
    shown(page)
    asked(page)
    for control in page.locator("button:visible, textarea:visible, summary:visible").all():
        name = control.evaluate("each => each.ariaLabel || each.labels?.[0]?.textContent || each.textContent")
        assert name.strip(), control
    assert page.evaluate("document.documentElement.lang") == "en"


def test_the_page_asks_nobody_but_its_own_server(page: Page, site: FakeSite) -> None:
    asked_for: list[str] = []
    page.on("request", lambda request: asked_for.append(request.url))
    opened(page, site)
    shown(page)
    asked(page)
    assert len(asked_for) > 5
    assert [url for url in asked_for if not url.startswith((site.url, "data:", "blob:"))] == []


def test_the_browser_refuses_what_is_not_the_pages_own(browser: Browser, site: FakeSite) -> None:
    with watched(browser, allowed="") as page:
        opened(page, site)
        for attempt, directive in FORBIDDEN.items():
            assert page.evaluate(VIOLATED.replace("attempt()", attempt)) == directive, attempt
