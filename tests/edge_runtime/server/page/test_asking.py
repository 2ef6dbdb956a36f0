"""Asking and being answered."""

import base64
import re

from playwright.sync_api import FileChooser, FilePayload, Page, expect

from tests.edge_runtime.server.page.browser import png
from tests.edge_runtime.server.page.fake_site import FakeSite, Refused
from tests.edge_runtime.server.page.steps import (
    answer_of,
    asked,
    begun,
    looked_again,
    opened,
    paused,
    shown,
    told_until,
)

NASTY = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


def test_a_picture_is_chosen_and_asked_about_with_the_keyboard_alone(page: Page, site: FakeSite) -> None:
    choosers: list[FileChooser] = []

    def opens(chooser: FileChooser) -> None:
        choosers.append(chooser)

    page.on("filechooser", opens)  # before the page is there: a browser needs a while to give them away
    opened(page, site)
    page.keyboard.press("Tab")
    expect(page.locator("#choose")).to_be_focused()
    page.keyboard.press("Enter")
    told_until(page, lambda: bool(choosers))
    choosers[0].set_files(FilePayload(name="a.png", mimeType="image/png", buffer=png()))
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.type("What colour")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("is it?")
    page.keyboard.press("Enter")
    expect(page.locator("#turns li")).to_have_attribute("data-state", "done")
    assert answer_of(page) == "It is red."
    content = site.asked[0]["messages"][0]["content"]
    assert content[1] == {"type": "text", "text": "What colour\nis it?"}
    expect(page.locator("#question")).to_be_focused()


def test_the_server_is_sent_the_bytes_of_the_file_and_how_it_is_to_answer(page: Page, site: FakeSite) -> None:
    data = png(40, 30)
    opened(page, site)
    shown(page, data, "named-wrongly.jpg")
    asked(page)
    body = site.asked[0]
    kind, _, text = body["messages"][0]["content"][0]["image_url"]["url"].partition(",")
    assert (kind, base64.b64decode(text)) == ("data:image/png;base64", data)
    assert (body["model"], body["stream"]) == ("fake-vl", True)
    assert body["stream_options"] == {"include_usage": True}


def given(page: Page, kind: str, name: str, data: bytes, text: str = "") -> None:
    """A drop or a paste, as a browser tells a page of it."""
    script = """([kind, name, data, text]) => {
      const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], name));
      if (text) transfer.items.add(text, "text/plain");
      const what = kind === "paste" ? { clipboardData: transfer } : { dataTransfer: transfer };
      const Kind = kind === "paste" ? ClipboardEvent : DragEvent;
      document.body.dispatchEvent(new Kind(kind, { ...what, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(script, [kind, name, base64.b64encode(data).decode(), text])


def test_a_dropped_file_is_what_is_asked_about(page: Page, site: FakeSite) -> None:
    opened(page, site)
    given(page, "dragover", "dropped.png", png())
    expect(page.locator("#drop")).to_be_visible()
    given(page, "drop", "dropped.png", png())
    expect(page.locator("#drop")).to_be_hidden()
    expect(page.locator("#shown")).to_have_attribute("alt", "The picture asked about: dropped.png")
    asked(page)
    assert site.asked[0]["messages"][0]["content"][0]["type"] == "image_url"


def test_a_pasted_picture_is_what_is_asked_about(page: Page, site: FakeSite) -> None:
    opened(page, site)
    given(page, "paste", "pasted.png", png())
    expect(page.locator("#shown")).to_be_visible()


def test_text_that_is_pasted_with_a_picture_of_itself_stays_text(page: Page, site: FakeSite) -> None:
    opened(page, site)
    given(page, "paste", "text.png", png(), text="Hello")
    given(page, "paste", "pasted.png", png())
    expect(page.locator("#shown")).to_have_attribute("alt", "The picture asked about: pasted.png")


def test_text_is_shown_while_it_is_said_and_read_out_by_sentences(page: Page, site: FakeSite) -> None:
    site.pieces, site.held_at = ("It is red. ", "And ", "round."), 2
    opened(page, site)
    begun(page)
    expect(page.locator(".answer")).to_have_text("It is red. And")
    expect(page.locator("#said p")).to_have_text(["It is red. "])
    expect(page.locator("#turns li")).to_have_attribute("data-state", "asking")
    site.go_on()
    expect(page.locator(".answer")).to_have_text("It is red. And round.")
    expect(page.locator("#said p")).to_have_text(["It is red. ", "And round."])
    assert page.locator("#said").get_attribute("aria-live") == "polite"


def test_markup_stays_text_wherever_it_comes_from(page: Page, site: FakeSite) -> None:
    site.pieces = (NASTY[:9], NASTY[9:])
    opened(page, site)
    title = page.title()
    shown(page, name=f"{NASTY}.png".replace("/", ""))
    asked(page, NASTY)
    assert answer_of(page) == NASTY
    assert page.locator(".question").inner_text() == NASTY
    site.refusals = [Refused(400, NASTY)]
    begun(page)
    expect(page.locator(".note").last).to_contain_text(NASTY)
    assert page.locator("main img, main script").count() == 1  # the picture
    assert page.title() == title


def test_a_follow_up_carries_the_whole_conversation_and_the_picture_once(page: Page, site: FakeSite) -> None:
    opened(page, site)
    shown(page)
    asked(page, "What is it?")
    asked(page, "And its colour?")
    first, second, third = site.asked[1]["messages"]
    assert [part["type"] for part in first["content"]] == ["image_url", "text"]
    assert second == {"role": "assistant", "content": "It is red."}
    assert third == {"role": "user", "content": "And its colour?"}


def test_a_picture_that_comes_later_is_shown_where_it_came(page: Page, site: FakeSite) -> None:
    opened(page, site)
    asked(page, "Hello?")
    shown(page)
    asked(page, "What is it?")
    asked(page, "And its colour?")
    contents = [message["content"] for message in site.asked[2]["messages"][::2]]
    assert [type(each) for each in contents] == [str, list, str]


def test_another_picture_begins_another_conversation(page: Page, site: FakeSite) -> None:
    opened(page, site)
    shown(page)
    asked(page)
    shown(page, png(50, 50, "red"))
    expect(page.locator("#turns li")).to_have_count(0)
    expect(page.locator("#look-note")).to_have_text("A new picture: a new conversation.")
    asked(page)
    assert len(site.asked[1]["messages"]) == 1


def test_a_new_conversation_keeps_the_picture(page: Page, site: FakeSite) -> None:
    opened(page, site)
    shown(page)
    asked(page)
    page.click("#fresh")
    expect(page.locator("#turns li")).to_have_count(0)
    expect(page.locator("#shown")).to_be_visible()
    asked(page)
    (message,) = site.asked[1]["messages"]
    assert message["content"][0]["type"] == "image_url"


def test_stop_ends_the_answer_here_and_at_the_server(page: Page, site: FakeSite) -> None:
    site.held_at = 1
    opened(page, site)
    shown(page)
    begun(page)
    expect(page.locator(".answer")).to_have_text("It")
    page.click("#stop")
    expect(page.locator("#turns li")).to_have_attribute("data-state", "stopped")
    expect(page.locator(".note")).to_have_text("Stopped.")
    told_until(page, lambda: site.left == 1)
    assert answer_of(page).strip() == "It"
    site.held_at = None
    asked(page, "Go on.")
    assert [message["role"] for message in site.asked[1]["messages"]] == ["user", "assistant", "user"]


def test_escape_stops(page: Page, site: FakeSite) -> None:
    site.held_at = 1
    opened(page, site)
    begun(page)
    expect(page.locator(".answer")).to_have_text("It")
    page.keyboard.press("Escape")
    expect(page.locator("#turns li")).to_have_attribute("data-state", "stopped")
    told_until(page, lambda: site.left == 1)


def test_a_refusal_is_told_in_the_servers_words_and_can_be_tried_again(page: Page, site: FakeSite) -> None:
    site.refusals = [Refused(400, "the picture is broken: it ends early: send it again")]
    opened(page, site)
    begun(page)
    expect(page.locator(".note")).to_have_text("The picture is broken: it ends early: send it again.")
    expect(page.locator("#said")).to_contain_text("The picture is broken")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#turns li")).to_have_attribute("data-state", "done")
    assert answer_of(page) == "It is red."


def test_what_was_never_answered_is_left_out_of_what_follows(page: Page, site: FakeSite) -> None:
    opened(page, site)
    shown(page)
    site.refusals = [Refused(500, "no")]
    begun(page, "First?")
    expect(page.locator("#turns li")).to_have_attribute("data-state", "failed")
    begun(page, "Second?")
    expect(page.locator("#turns li").last).to_have_attribute("data-state", "done")
    (message,) = site.asked[1]["messages"]
    assert [part.get("text") for part in message["content"]] == [None, "Second?"]


def test_an_error_in_the_middle_of_an_answer_is_told_below_it(page: Page, site: FakeSite) -> None:
    site.broken_at = 2
    opened(page, site)
    begun(page)
    expect(page.locator(".note")).to_have_text("The engine is not there at the moment.")
    assert answer_of(page).strip() == "It is"


def test_a_full_server_is_asked_once_more_after_the_time_it_named(page: Page, site: FakeSite) -> None:
    site.refusals = [Refused(429, "too much waits", {"Retry-After": "7"})]
    page.clock.install(time=0)
    opened(page, site)
    paused(page)
    begun(page)
    expect(page.locator(".note")).to_have_text("The server is busy. Asking again in 7 s …")
    page.clock.run_for(3000)
    expect(page.locator(".note")).to_have_text(re.compile("Asking again in [34] s"))
    assert len(site.asked) == 1
    page.clock.run_for(5000)
    expect(page.locator("#turns li")).to_have_attribute("data-state", "done")
    assert len(site.asked) == 2


def test_a_server_that_stays_full_is_not_asked_a_third_time(page: Page, site: FakeSite) -> None:
    site.refusals = [Refused(429, "too much waits", {"Retry-After": "0"})] * 2
    opened(page, site)
    begun(page)
    expect(page.locator(".note")).to_have_text("Too much waits. It is still busy: try again in 0 s.")
    assert len(site.asked) == 2


def test_the_time_of_an_answer_is_told_by_stages_and_tokens(page: Page, site: FakeSite) -> None:
    opened(page, site)
    asked(page)
    figures = "1.0 s · 50.0 tokens/s · 20 tokens said · 640 of 655 prompt tokens cached"
    expect(page.locator(".figures")).to_have_text(figures)
    parts = page.locator(".bar .stage").evaluate_all(
        "parts => parts.map((part) => [part.className, Number(part.style.flexGrow)])"
    )
    assert dict(parts)["stage vision"] == 430
    assert sum(share for _, share in parts) == 1000
    expect(page.locator(".cost dl")).to_be_hidden()
    page.locator("summary").press("Enter")
    expect(page.locator(".cost dl")).to_contain_text("Looking430 ms")


def test_an_answer_that_was_cut_off_says_so(page: Page, site: FakeSite) -> None:
    site.finish = "length"
    opened(page, site)
    begun(page)
    expect(page.locator(".note")).to_contain_text("cut off")


def test_a_key_is_asked_for_where_the_server_wants_one_and_never_kept(page: Page, site: FakeSite) -> None:
    site.key = "right-key"
    opened(page, site)
    expect(page.locator("#access")).to_be_visible()
    expect(page.locator("#asking")).to_be_hidden()
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.type("wrong-key")
    page.keyboard.press("Enter")
    expect(page.locator("#access-note")).to_contain_text("did not take that key")
    site.key_refusal = Refused(403, "this API key may not do this")
    page.fill("#key", "metrics-key")
    page.keyboard.press("Enter")
    expect(page.locator("#access-note")).to_have_text("This API key may not do this.")
    page.fill("#key", "right-key")
    page.keyboard.press("Enter")
    expect(page.locator("#access")).to_be_hidden()
    asked(page)
    kept = page.evaluate("JSON.stringify([sessionStorage, localStorage, document.cookie, location.href])")
    assert "right-key" not in kept
    assert page.locator("#key").input_value() == ""


def greeted(page: Page) -> None:
    """The page has had its answer to all that it asks by itself."""
    expect(page.locator("#model")).to_have_text("fake-vl")


def test_a_question_that_wanted_a_key_is_asked_again_with_it(page: Page, site: FakeSite) -> None:
    opened(page, site)
    greeted(page)
    site.key = "new-key"
    page.set_viewport_size({"width": 390, "height": 640})
    begun(page)
    expect(page.locator("#access")).to_be_in_viewport(ratio=0.99)
    page.fill("#key", "new-key")
    page.keyboard.press("Enter")
    expect(page.locator("#turns li")).to_have_attribute("data-state", "done")
    assert len(site.asked) == 1


def test_a_key_that_is_typed_before_a_question_is_refused_is_not_lost_to_it(
    page: Page, site: FakeSite
) -> None:
    opened(page, site)
    greeted(page)
    site.key, site.refused_after_s = "new-key", 3.0
    begun(page)
    for condition in (
        "starting",
        "ready",
    ):  # the page asks for the model again, and hears first that a key is wanted
        site.condition = condition
        looked_again(page)
        expect(page.locator("#engine")).to_have_attribute("data-condition", condition)
    expect(page.locator("#access")).to_be_visible()
    page.fill("#key", "new-key")
    page.keyboard.press("Enter")
    expect(page.locator("#access")).to_be_hidden()
    expect(page.locator("#turns li")).to_have_attribute("data-state", "done", timeout=10_000)
    expect(page.locator("#access")).to_be_hidden()
    assert len(site.asked) == 1
