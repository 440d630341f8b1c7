"""Fleet in a browser: log in, accept devices, roll a release out and watch it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from kos.services.admin.simulator import Behaviour
from tests.browser.accessible import check
from tests.browser.conftest import shot
from tests.server.archives import archive
from tests.server.devices import Park
from tests.server.running import PASSWORD, Server

pytestmark = pytest.mark.group("browser")


def test_a_manager_at_work(fleet: Server, page: Page, devices: Park, tmp_path: Path) -> None:
    good = Behaviour(step=0.2)
    bad = Behaviour(step=0.2, verdict=lambda _release: "reverted")
    devices.add(6, fleet.bus_port, good, salt="good")
    devices.add(1, fleet.bus_port, bad, salt="bad")
    page.goto(fleet.url)
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    check(page)
    shot(page, "fleet-login")
    page.get_by_label("E-mail").fill("admin@localhost")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("status")).to_contain_text("wrong e-mail address or password")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()

    expect(page.get_by_role("button", name="Accept")).to_have_count(7)
    shot(page, "fleet-waiting")
    for left in range(7, 0, -1):
        page.get_by_role("button", name="Accept").first.click()
        expect(page.get_by_role("button", name="Accept")).to_have_count(left - 1)
    expect(page.locator(".numbers")).to_contain_text("Online7")
    check(page)
    shot(page, "fleet-devices")

    page.get_by_role("link", name="Releases").click()
    page.get_by_label("Upload manifest.zip").set_input_files(archive(tmp_path, "2.0"))
    page.get_by_role("link", name="Roll out").click()
    page.get_by_label("Phases,").fill("2 100%")
    page.get_by_label("Stop when").fill("0.5")
    check(page)
    shot(page, "fleet-new-rollout")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("h1 .state")).to_have_text("done", timeout=60_000)
    expect(page.locator("#rollout")).to_contain_text("6 of 7 healthy, 1 failed")
    expect(page.get_by_text("self_test failed: sensor does not answer")).to_be_visible()
    check(page)
    shot(page, "fleet-rollout")

    page.get_by_role("link", name="Access").click()
    check(page)
    shot(page, "fleet-access")
    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_role("cell", name="rollout.create")).to_be_visible()
    check(page)
    shot(page, "fleet-audit")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
