"""Pictures that are taken, and refused in words."""

from pathlib import Path

from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.edge_runtime.server.page.browser import png, watched
from tests.edge_runtime.server.page.fake_site import FakeSite
from tests.edge_runtime.server.page.steps import asked, opened, shown

NO_CAMERA = """navigator.mediaDevices.getUserMedia = () =>
  Promise.reject(new DOMException("as a test has it", "{name}"));
0;"""
NO_CAMERAS = {
    "NotFoundError": "No camera was found.",
    "NotAllowedError": "may not be used",
    "NotReadableError": "Another program may be using it",
    "TypeError": "does not start",
}
NO_PICTURES = (
    ("letter.png", b"Dear reader", "letter.png is no picture"),
    ("half.png", png()[:20], "half.png is no picture"),
    ("nothing.png", b"", "nothing.png is empty"),
)


def test_what_is_no_picture_is_refused_in_words(page: Page, site: FakeSite) -> None:
    opened(page, site)
    for name, data, words in NO_PICTURES:
        page.set_input_files("#file", FilePayload(name=name, mimeType="image/png", buffer=data))
        expect(page.locator("#look-note")).to_contain_text(words)
        expect(page.locator("#shown")).to_be_hidden()


def test_a_picture_that_is_too_big_is_refused_in_words(page: Page, site: FakeSite, tmp_path: Path) -> None:
    big = tmp_path / "big.png"
    big.write_bytes(png())
    opened(page, site)
    with big.open("r+b") as file:
        file.truncate(12_100_000)
    page.set_input_files("#file", big)
    expect(page.locator("#look-note")).to_contain_text("big.png has 12.1 MB, and 12 MB is the most.")
    with big.open("r+b") as file:
        file.truncate(12_000_000)
    page.set_input_files("#file", big)
    expect(page.locator("#shown")).to_be_visible()


def test_a_picture_can_be_taken_away_before_it_is_asked_about(page: Page, site: FakeSite) -> None:
    opened(page, site)
    shown(page)
    page.click("#remove")
    expect(page.locator("#empty")).to_be_visible()
    asked(page)
    assert site.asked[0]["messages"] == [{"role": "user", "content": "What is it?"}]
    shown(page)
    asked(page)
    expect(page.locator("#remove")).to_be_hidden()


def test_the_camera_takes_a_picture(page: Page, site: FakeSite) -> None:
    opened(page, site)
    page.click("#camera")
    expect(page.locator("#live")).to_be_visible()
    page.click("#shoot")
    expect(page.locator("#shown")).to_be_visible()
    expect(page.locator("#live")).to_be_hidden()
    assert page.evaluate("document.querySelector('#live').srcObject") is None
    asked(page)
    url = site.asked[0]["messages"][0]["content"][0]["image_url"]["url"]
    assert url.startswith("data:image/png;base64,")


def test_no_button_moves_when_the_cameras_first_frame_comes(page: Page, site: FakeSite) -> None:
    opened(page, site)
    page.click("#camera")
    expect(page.locator("#live")).to_have_js_property("readyState", 4)
    with_frames = page.locator("#shoot").bounding_box()
    page.evaluate("document.querySelector('#live').srcObject = null")
    expect(page.locator("#live")).to_have_js_property("readyState", 0)
    assert page.locator("#shoot").bounding_box() == with_frames


def test_the_camera_can_be_closed_again(page: Page, site: FakeSite) -> None:
    opened(page, site)
    page.click("#camera")
    page.click("#close-camera")
    expect(page.locator("#empty")).to_be_visible()
    assert page.evaluate("document.querySelector('#live').srcObject") is None


def test_a_camera_that_does_not_come_says_why(page: Page, site: FakeSite) -> None:
    opened(page, site)
    for name, words in NO_CAMERAS.items():
        page.evaluate(NO_CAMERA.replace("{name}", name))
        page.click("#camera")
        expect(page.locator("#look-note")).to_contain_text(words)
        expect(page.locator("#camera")).to_be_visible()


def test_where_browsers_hand_out_no_camera_the_page_says_what_it_takes(page: Page, site: FakeSite) -> None:
    page.add_init_script("delete Navigator.prototype.mediaDevices;")
    opened(page, site)
    page.click("#camera")
    expect(page.locator("#look-note")).to_contain_text("over HTTPS")


def test_a_camera_that_is_unplugged_says_so(page: Page, site: FakeSite) -> None:
    opened(page, site)
    page.click("#camera")
    expect(page.locator("#live")).to_be_visible()
    page.evaluate(
        "document.querySelector('#live').srcObject.getTracks()[0].dispatchEvent(new Event('ended'))"
    )
    expect(page.locator("#look-note")).to_contain_text("went away")
    expect(page.locator("#camera")).to_be_visible()


def test_a_conversation_outlives_a_reload(page: Page, site: FakeSite) -> None:
    opened(page, site)
    shown(page)
    asked(page)
    page.reload()
    expect(page.locator(".answer")).to_have_text("It is red.")
    expect(page.locator("#shown")).to_be_visible()
    expect(page.locator("#engine")).to_contain_text("Ready")
    asked(page, "And its colour?")
    assert [message["role"] for message in site.asked[1]["messages"]] == ["user", "assistant", "user"]
    assert site.asked[1]["messages"][0] == site.asked[0]["messages"][0]


def test_a_picture_too_big_to_be_kept_is_told_of_and_asked_for_again(
    page: Page, site: FakeSite, tmp_path: Path
) -> None:
    big = tmp_path / "big.png"
    big.write_bytes(png() + bytes(4_000_000))  # what follows a picture's end belongs to nobody
    opened(page, site)
    page.set_input_files("#file", big)
    expect(page.locator("#kept")).to_contain_text("too big to be kept")
    asked(page)
    page.reload()
    expect(page.locator("#look-note")).to_contain_text("Add it again")
    expect(page.locator(".answer")).to_have_text("It is red.")
    expect(page.locator("#engine")).to_contain_text("Ready")
    page.set_input_files("#file", big)
    expect(page.locator("#shown")).to_be_visible()
    asked(page, "And its colour?")
    assert site.asked[1]["messages"][0] == site.asked[0]["messages"][0]


def test_another_tab_begins_with_nothing(browser: Browser, page: Page, site: FakeSite) -> None:
    opened(page, site)
    shown(page)
    asked(page)
    with watched(browser) as other:
        opened(other, site)
        expect(other.locator("#turns li")).to_have_count(0)
