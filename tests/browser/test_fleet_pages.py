"""Fleet in a browser: log in, accept devices, roll a release out and watch it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from kos.server.core.auth.passwords import TOTP_STEP, totp_code
from kos.services.admin.simulator import Behaviour
from tests.browser.accessible import check
from tests.browser.conftest import shot
from tests.server.archives import archive
from tests.server.devices import Park
from tests.server.running import PASSWORD, Server, running, wait_for

# Elements that reach out of the window and lie in nothing that scrolls.
WIDEST = """
  [...document.querySelectorAll("main *")]
    .filter((one) => one.getBoundingClientRect().right > innerWidth && !one.closest(".flush"))
    .map((one) => one.outerHTML.slice(0, 80))
"""
pytestmark = pytest.mark.group("browser")


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A Fleet that no other test has seen."""
    monkeypatch.setenv("KOS_SERVER_ADMIN_PASSWORD", PASSWORD)
    with running(tmp_path / "fleet", product="fleet", heartbeat=2.0) as server:
        yield server


@pytest.mark.timeout(600)
def test_a_manager_at_work(fresh: Server, page: Page, devices: Park, tmp_path: Path) -> None:
    fleet = fresh
    good = Behaviour(step=0.2)
    bad = Behaviour(step=0.2, verdict=lambda _release: "reverted")
    made = devices.add(6, fleet.bus_port, good, salt="good")
    made += devices.add(1, fleet.bus_port, bad, salt="bad")
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
    for device in made:
        row = page.get_by_role("row").filter(has=page.locator(f'a[href="/devices/{device.id}"]'))
        row.get_by_role("button", name="Accept").click()
        expect(row.get_by_role("button", name="Accept")).to_have_count(0)
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
    expect(page.locator("h1 .state")).to_have_text("done")
    expect(page.locator("#rollout")).to_contain_text("6 of 7 healthy, 1 failed")
    expect(page.get_by_text("self_test failed: sensor does not answer")).to_be_visible()
    check(page)
    shot(page, "fleet-rollout")

    page.get_by_role("link", name="admin@localhost").click()
    page.get_by_role("button", name="Set up").click()
    secret = page.locator("#totp-secret")
    expect(secret).not_to_be_empty()
    check(page)
    shot(page, "fleet-account")
    code = totp_code(secret.inner_text(), int(time.time() // TOTP_STEP))
    page.get_by_label("Code that the app shows").fill(code)
    page.get_by_role("button", name="Turn on").click()
    expect(page.locator("#totp .state")).to_have_text("on")
    check(page)

    page.get_by_role("link", name="Access").click()
    check(page)
    shot(page, "fleet-access")
    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_role("cell", name="rollout.create")).to_be_visible()
    check(page)
    shot(page, "fleet-audit")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    page.get_by_label("E-mail").fill("admin@localhost")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("status")).to_contain_text("a one-time code is needed")


def test_what_is_pressed_stays_until_it_is_let_go(fresh: Server, page: Page, devices: Park) -> None:
    """A list that was drawn anew under the pointer would lose the click."""
    (first,) = devices.add(1, fresh.bus_port, salt="first")
    cookies = fresh.login().cookies
    page.context.add_cookies([{"name": "kos_session", "value": cookies["kos_session"], "url": fresh.url}])
    page.goto(fresh.url)
    row = page.get_by_role("row").filter(has=page.locator(f'a[href="/devices/{first.id}"]'))
    button = row.get_by_role("button", name="Accept")
    button.hover()
    page.mouse.down()
    pressed = button.element_handle()
    (second,) = devices.add(1, fresh.bus_port, salt="second")
    wait_for(lambda: fresh.login().get(f"/api/v1/devices/{second.id}").is_success, "it shows up")
    with page.expect_response(lambda answer: second.id in answer.text()):
        page.evaluate("document.body.dispatchEvent(new CustomEvent('live-device'))")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert pressed.evaluate("(one) => one.isConnected")
    page.mouse.up()
    expect(button).to_have_count(0)
    expect(page.locator(f'a[href="/devices/{second.id}"]')).to_be_visible()


@pytest.mark.parametrize(
    "path", ["/", "/account", "/access", "/rollouts/new", "/alarms", "/notifications", "/data"]
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_pages_are_accessible(fleet: Server, page: Page, path: str, scheme: str) -> None:
    cookies = fleet.login().cookies
    page.context.add_cookies([{"name": "kos_session", "value": cookies["kos_session"], "url": fleet.url}])
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(fleet.url + path)
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    check(page)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{wide} pixels wider than the window: {page.evaluate(WIDEST)}"
