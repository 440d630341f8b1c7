"""Studio in a browser, with a real system: follow it, see its graph, upgrade it, break it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessible import check
from tests.browser.conftest import shot
from tests.server import real
from tests.server.running import Server, running, wait_for

pytestmark = pytest.mark.group("browser")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Server]:
    """A Studio that no other test has seen."""
    with running(tmp_path / "studio", auto_accept=True) as server:
        yield server


@pytest.mark.timeout(600)
def test_first_steps(fresh: Server, page: Page, tmp_path: Path) -> None:
    studio = fresh
    page.goto(studio.url)
    expect(page.get_by_role("heading", name="No device yet")).to_be_visible()
    check(page)
    shot(page, "studio-empty")
    good, bad = real.archive(tmp_path, "2.0"), real.archive(tmp_path, "3.0", real.BAD)
    with real.device(tmp_path, studio.bus_port) as system:

        def stored(text: str) -> bool:
            with studio.client() as client:
                return bool(client.get(f"{system.path}/log", params={"text": text}).json())

        page.get_by_role("link", name=system.name, exact=True).click()
        expect(page.get_by_role("heading", name=system.name)).to_be_visible()
        expect(page.get_by_role("row", name="pump running")).to_be_visible()
        check(page)
        shot(page, "studio-device")

        page.get_by_role("link", name="Console").click()
        console = page.get_by_role("log")
        expect(console).to_contain_text("pump 1.0 turns")
        page.locator("#console-app").select_option("pump")
        expect(console.locator("div:visible").filter(has_text="supervisor")).to_have_count(0)
        check(page)
        shot(page, "studio-console")

        page.locator("#log-app").select_option("pump")
        page.locator("#log-text").fill("turns")
        wait_for(lambda: stored("pump 1.0 turns"), "the line is stored")
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_role("table", name="Found lines")).to_contain_text("pump 1.0 turns")
        check(page)

        page.get_by_role("link", name="Graph").click()
        expect(page.locator("#graph canvas").first).to_be_visible()
        page.get_by_text("connections, as text").click()
        expect(page.get_by_text("pump uses kos_log_protocol of log_server")).to_be_visible()
        check(page)
        shot(page, "studio-graph")

        for archive, state in ((good, "healthy"), (bad, "reverted")):
            page.get_by_role("link", name="Releases").click()
            page.get_by_label("Upload manifest.zip").set_input_files(archive)
            page.wait_for_url("**/releases/*")
            page.get_by_role("link", name="Devices").click()
            page.get_by_role("link", name=system.name, exact=True).click()
            page.get_by_role("button", name="Upgrade").click()
            expect(page.locator("#state .facts .state").filter(has_text=state)).to_be_visible()
            shot(page, f"studio-{state}")
        expect(page.get_by_role("alert").filter(has_text="pump")).to_be_visible()
        check(page)
        system.wait_for("pump 2.0 turns", times=2)

        page.get_by_role("navigation", name="Device").get_by_role("link", name="Data").click()
        expect(page.locator(".uplot").first).to_be_visible()
        shot(page, "studio-data")


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
