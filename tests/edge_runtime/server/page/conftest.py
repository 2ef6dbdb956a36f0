"""One browser for all tests of the page; a site and a tab for each.

The browser is closed when the last of them is over: while it is open, an event loop runs in this thread, and no other test
could start one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.edge_runtime.server.page.browser import CHROMIUM, FAKE_CAMERA, chromium, watched
from tests.edge_runtime.server.page.fake_site import FakeSite, served


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    with chromium(*FAKE_CAMERA) as opened:
        yield opened


@pytest.fixture
def site() -> Iterator[FakeSite]:
    fake = FakeSite()
    with served(fake.app) as fake.url:
        yield fake


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with watched(browser) as opened:
        yield opened
