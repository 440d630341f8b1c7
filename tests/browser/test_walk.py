"""A first hour with Studio, by keyboard alone: from nothing to a device that took a bad release back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from kos.server.core.bus.process import free_port
from tests.browser.accessible import check
from tests.browser.conftest import shot
from tests.server import real
from tests.server.running import wait_for
from tests.tool.running import going_on, kos_tool

pytestmark = [pytest.mark.group("browser"), pytest.mark.timeout(1200)]

TABS_MAX = 150  # presses of Tab that anything on a page may be away
# It says something to another app now and then, for the trace.
PUMP = real.GOOD.replace("time.sleep(60)", 'app.log.debug("one more turn"); time.sleep(0.2)').replace(
    "from kos import app", "from kos import app\nimport kos.app.log"
)


def project(folder: Path, release: str, pump: str = PUMP) -> Path:
    made = real.project(folder / f"pump-{release}", release, pump)
    text = (made / "system.py").read_text()
    (made / "system.py").write_text(text.replace("self_test=False", "self_test=False, tracing=True"))
    return made


def archive(folder: Path, release: str, pump: str = PUMP) -> Path:
    path = folder / f"pump-{release}.zip"
    real.builder(project(folder, release, pump)).build().write(path)
    return path


def reach(page: Page, wanted: Locator) -> None:
    """Press Tab until the keyboard is there."""
    expect(wanted).to_be_visible()
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        if wanted.evaluate("(one) => one === document.activeElement"):
            return
    raise AssertionError(f"{wanted} is not reached by {TABS_MAX} presses of Tab")


def press(page: Page, wanted: Locator) -> None:
    reach(page, wanted)
    page.keyboard.press("Enter")


def tab(page: Page, name: str) -> None:
    """Go to one of a device's pages."""
    press(page, page.get_by_role("navigation", name="Device").get_by_role("link", name=name))
    expect(page.get_by_role("navigation", name="Device").get_by_role("link", name=name)).to_have_attribute(
        "aria-current", "page"
    )


def test_from_nothing_to_a_release_that_was_taken_back(
    page: Page, tmp_path: Path, figures: Callable[[str], None]
) -> None:
    (tmp_path / "runtime").mkdir(mode=0o700)
    ports = {"port": free_port("127.0.0.1"), "bus_port": free_port("127.0.0.1")}
    own = {"XDG_RUNTIME_DIR": str(tmp_path / "runtime"), "XDG_STATE_HOME": str(tmp_path / "state")}
    own |= {"KOS_SERVER_PORT": str(ports["port"]), "KOS_SERVER_BUS_PORT": str(ports["bus_port"])}
    url = f"http://127.0.0.1:{ports['port']}"
    first, second = project(tmp_path, "1.0"), archive(tmp_path, "2.0")
    third = archive(tmp_path, "3.0", real.BAD)
    with ExitStack() as held:
        client = held.enter_context(httpx.Client(base_url=url))
        began = time.monotonic()
        server = held.enter_context(
            going_on("server.start", "--mqtt-port", "-1", output=tmp_path / "server", **own)
        )
        server.until("a page", lambda: answers(client))
        figures(f"server.start from nothing to a page: {time.monotonic() - began:.1f} s (aim: under 3 s)")
        page.goto(url)
        expect(page.get_by_role("heading", name="No device yet")).to_be_visible()
        check(page)
        shot(page, "walk-1-empty")
        run = held.enter_context(going_on("run", first, output=tmp_path / "run", **own))
        run.until_printed("apps ready after")
        link = page.get_by_role("table", name="Devices").get_by_role("link", name="pump", exact=True)
        expect(link).to_be_visible()  # by itself
        press(page, link)
        expect(page.get_by_role("row", name="pump running")).to_be_visible()
        check(page)
        shot(page, "walk-2-device")
        path = f"/api/v1/devices/{page.locator('#state').get_attribute('data-device')}"
        look_around(page, client, path)
        look_inside(page)

        def steady() -> int:
            return json.loads(kos_tool("status", "--json", **own).stdout)["apps"]["steady"]["pid"]

        pid = steady()
        upgrade(page, second, "healthy", "pump 2.0")
        run.until_printed("pump 2.0 turns")
        assert steady() == pid, "an app that did not change runs on"
        check(page)
        shot(page, "walk-7-upgraded")
        upgrade(page, third, "reverted", "pump 2.0")
        expect(page.get_by_role("alert").filter(has_text="Reverted:")).to_contain_text("pump")
        run.until_printed("pump 2.0 turns", times=2)
        assert steady() == pid and client.get(path).json()["generation"] == 2
        check(page)
        shot(page, "walk-8-reverted")
        assert run.interrupt() == 130
        press(page, page.get_by_role("navigation", name="Main").get_by_role("link", name="Devices"))
        expect(page.get_by_role("row", name="pump").get_by_text("offline")).to_be_visible()
        shot(page, "walk-9-offline")
        assert server.interrupt() in (0, 130)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/").status_code == 200
    except httpx.TransportError:
        return False


def look_around(page: Page, client: httpx.Client, path: str) -> None:
    """Graph, console and its search, data."""
    tab(page, "Graph")
    expect(page.locator("#graph canvas").first).to_be_visible()
    press(page, page.get_by_text("connections, as text"))
    expect(page.get_by_text("pump uses kos_log_protocol of log_server")).to_be_visible()
    check(page)
    shot(page, "walk-3-graph")

    tab(page, "Console")
    console = page.get_by_role("log")
    expect(console).to_contain_text("pump 1.0 turns")
    reach(page, page.locator("#console-app"))
    page.keyboard.type("pump")
    expect(console.locator("div:visible").filter(has_text="supervisor")).to_have_count(0)
    check(page)
    shot(page, "walk-4-console")
    wait_for(lambda: client.get(f"{path}/log", params={"text": "1.0 turns"}).json(), "the line is stored")
    reach(page, page.locator("#log-text"))
    page.keyboard.type("1.0 turns")
    page.keyboard.press("Enter")
    expect(page.get_by_role("table", name="Found lines")).to_contain_text("pump 1.0 turns")

    tab(page, "Data")
    expect(page.locator(".uplot").first).to_be_visible()
    check(page)
    shot(page, "walk-5-data")


def look_inside(page: Page) -> None:
    """Trace, and a shell in the running app."""
    tab(page, "Trace")
    rows = page.locator("#trace-rows tr")
    reach(page, page.locator("#trace-app"))
    expect(page.locator("#trace-app option[value=pump]")).to_be_attached()
    page.keyboard.type("pump")
    expect(rows.filter(has_text="kos_log_protocol").first).to_be_visible()
    press(page, page.get_by_role("button", name="Pause"))
    expect(page.get_by_role("button", name="Go on")).to_be_focused()
    check(page)
    shot(page, "walk-6-trace")

    tab(page, "Debug")
    expect(page.locator("#debug-app")).to_have_value("pump")
    press(page, page.get_by_role("button", name="Open"))
    screen = page.locator(".xterm-rows")
    expect(screen).to_contain_text("in module pump")
    expect(page.get_by_label("Terminal input")).to_be_focused()
    page.keyboard.type("speed + 30")
    page.keyboard.press("Enter")
    expect(screen).to_contain_text("42")
    check(page)
    shot(page, "walk-6-shell")
    page.keyboard.press("Control+d")
    expect(page.get_by_role("button", name="Open")).to_be_focused()


def upgrade(page: Page, archive: Path, state: str, runs: str) -> None:
    """Upload a release, go to the device, upgrade, and see what becomes of it."""
    main = page.get_by_role("navigation", name="Main")
    press(page, main.get_by_role("link", name="Releases"))
    field = page.get_by_label("Upload manifest.zip")
    reach(page, field)
    field.set_input_files(archive)  # the dialogue that Enter would open is the browser's own
    page.wait_for_url("**/releases/*")
    press(page, main.get_by_role("link", name="Devices"))
    press(page, page.get_by_role("table", name="Devices").get_by_role("link", name="pump", exact=True))
    press(page, page.get_by_role("button", name="Upgrade"))
    facts = page.locator("#state .facts").filter(has_text="Generation")
    expect(facts.locator(".state").filter(has_text=state)).to_be_visible()
    expect(facts.get_by_role("link", name=runs)).not_to_have_count(0)
