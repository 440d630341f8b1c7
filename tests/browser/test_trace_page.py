"""The trace of a real system in a browser: time line, arrows, filters, pause, table, file for Perfetto."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessible import check
from tests.browser.conftest import shot
from tests.server import real
from tests.server.running import Server
from tests.tracing import talkers
from tests.tracing.chrome import check_document

pytestmark = pytest.mark.group("browser")


def test_a_trace_is_followed_filtered_paused_and_taken_along(
    studio: Server, page: Page, tmp_path: Path
) -> None:
    with real.device(tmp_path, studio.bus_port, builder=talkers.build(tmp_path)) as system:
        system.wait_for("wx                 | talking")
        page.goto(studio.url)
        page.get_by_role("link", name=system.name, exact=True).click()
        page.get_by_role("link", name="Trace").click()
        rows = page.locator("#trace-rows tr")
        expect(rows.filter(has_text="call weather_protocol 7").first).to_be_visible()
        line = page.get_by_role("img", name="Time line of")
        expect(line).to_have_attribute("aria-label", re.compile(r"[1-9]\d* arrows between apps"))
        check(page)
        shot(page, "studio-trace")
        page.get_by_label("App", exact=True).select_option("key_store")
        expect(rows.filter(has_text="goes on")).to_have_count(1)  # it waits for somebody to ask
        page.get_by_label("App", exact=True).select_option("")
        page.emulate_media(color_scheme="dark")
        for _ in range(5):
            page.get_by_role("button", name="Show less time").click()
        page.get_by_role("button", name="Earlier").click()
        check(page)
        shot(page, "studio-trace-dark")
        page.emulate_media(color_scheme="light")
        for _ in range(7):  # 10 s: some of wx's calls are in it however busy the machine is
            page.get_by_role("button", name="Show more time").click()
        expect(page.locator("#trace-span")).to_have_text("10 s")
        page.get_by_role("button", name="Go on").click()

        # By keyboard alone: one app, its calls, a moment that stands still, less of it.
        page.get_by_label("App", exact=True).focus()
        page.keyboard.type("wx")
        page.get_by_label("Contains").focus()
        page.keyboard.type("call weather")
        expect(rows.filter(has_text="sleep")).to_have_count(0)
        expect(rows.filter(has_text="call weather_protocol 7").first).to_be_visible()
        page.get_by_role("button", name="Pause").focus()
        page.keyboard.press("Enter")
        # What came before is shown with the next picture; then nothing moves any more.
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        newest = rows.first.text_content()
        assert newest
        check(page)
        assert rows.first.text_content() == newest, "nothing moves while it is paused"
        expect(page.get_by_role("button", name="Go on")).to_have_attribute("aria-pressed", "true")
        page.get_by_role("region", name="Newest events").press("ArrowDown")
        expect(page.locator("#trace-detail")).to_contain_text("call weather_protocol 7")
        expect(page.locator("#trace-detail")).to_contain_text("to station")
        expect(page.locator("#trace-rows tr.kept")).to_have_text(newest)
        for _ in range(6):
            page.get_by_role("button", name="Show less time").press("Enter")
        expect(page.locator("#trace-span")).to_have_text("100 ms")
        shot(page, "studio-trace-paused")

        with page.expect_download() as download:
            page.get_by_role("button", name="Download for Perfetto").press("Enter")
        document = json.loads(Path(download.value.path()).read_text())
        check_document(document)
        assert {"s", "f"} <= {event["ph"] for event in document["traceEvents"]}
        page.get_by_role("button", name="Go on").press("Enter")
        expect(rows.first).not_to_have_text(newest)


def test_a_system_that_does_not_trace_says_how_to(studio: Server, page: Page, tmp_path: Path) -> None:
    with real.device(tmp_path, studio.bus_port) as system:
        page.goto(studio.url)
        page.get_by_role("link", name=system.name, exact=True).click()
        page.get_by_role("link", name="Trace").click()
        expect(page.locator("#trace-state")).to_contain_text("Poukai(tracing=True)")
        check(page)
