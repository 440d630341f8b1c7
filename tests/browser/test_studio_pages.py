"""Studio's pages as such: by keyboard alone, and by the rules of axe-core in both colour schemes."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessible import check
from tests.server.running import Server

pytestmark = pytest.mark.group("browser")


def test_by_keyboard_alone(studio: Server, page: Page) -> None:
    page.goto(studio.url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Search devices")).to_be_focused()
    page.keyboard.type("name:nobody")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="No device matches")).to_be_visible()


@pytest.mark.parametrize("path", ["/new", "/releases", "/data", "/alarms", "/audit"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible(studio: Server, page: Page, path: str, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(studio.url + path)
    check(page)
