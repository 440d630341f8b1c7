"""A shell in a running app, in a browser: typed, pasted, completed, interrupted, left."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from tests.browser.accessible import check
from tests.browser.conftest import shot
from tests.server import real
from tests.server.running import Server, wait_for

pytestmark = pytest.mark.group("browser")

PASTE = """(text) => {
  const data = new DataTransfer();
  data.setData("text/plain", text);
  document.activeElement.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
}"""


def paste(page: Page, text: str) -> None:
    page.evaluate(PASTE, text)


def test_a_shell_in_the_page(studio: Server, page: Page, tmp_path: Path) -> None:
    with real.device(tmp_path, studio.bus_port) as system:
        system.wait_for("pump 1.0 turns")
        page.goto(studio.url)
        page.get_by_role("link", name=system.name, exact=True).click()
        page.get_by_role("link", name="Debug").click()
        expect(page.get_by_label("App", exact=True)).to_have_value("pump")
        check(page)
        page.get_by_role("button", name="Open").click()
        screen = page.locator(".xterm-rows")
        expect(screen).to_contain_text("in module pump")
        expect(page.get_by_label("Terminal input")).to_be_focused()
        page.keyboard.type("speed")
        page.keyboard.press("Enter")
        expect(screen).to_contain_text(re.compile(r"speed\s*12"))
        page.keyboard.type("spe")
        page.keyboard.press("Tab")
        expect(screen).to_contain_text(re.compile(r"speed.*speed"))
        page.keyboard.type(" = 40")
        page.keyboard.press("Enter")
        system.wait_for("pump: shell: speed = 40")
        paste(page, "def twice(x):\n    return 2 * x\n\ntwice(speed)\n")
        expect(screen).to_contain_text("80")
        page.keyboard.type("{}['gone']")
        page.keyboard.press("Enter")
        expect(screen).to_contain_text("KeyError: 'gone'")
        check(page)
        shot(page, "studio-shell")
        paste(page, "while True: pass\n\n")
        system.wait_for("pump: shell: while True: pass")
        page.get_by_role("button", name="Interrupt").click()
        expect(screen).to_contain_text("KeyboardInterrupt")
        page.keyboard.press("Control+d")
        expect(page.get_by_role("status").filter(has_text="closed: you left")).to_be_visible()
        system.wait_for("pump: a shell of developer (studio) was closed: the reader left")
        expect(page.get_by_role("button", name="Open")).to_be_focused()
        page.emulate_media(color_scheme="dark")
        check(page)


CRASHES = """
import time
from kos import app

def measure(sensor):
    return {"a": 1}[sensor]

def main():
    app.ready()
    print("the pump measures", flush=True)
    measure("b")
"""


def test_why_an_app_ended_badly(studio: Server, page: Page, tmp_path: Path) -> None:
    project = real.project(tmp_path / "project", "1.0", CRASHES)
    text = (project / "system.py").read_text()
    # It crashes once, most often before its agent listens, and once more when we say so.
    text = text.replace("debug=True", 'restart=Restart("never")').replace("System\n", "Restart, System\n", 1)
    (project / "system.py").write_text(text)
    with real.device(tmp_path, studio.bus_port, builder=real.builder(project)) as system:
        with studio.client() as client:
            wait_for(lambda: client.get(system.path).is_success, "the device appears")
        page.goto(f"{studio.url}/devices/{system.id}")
        row = page.get_by_role("row").filter(has_text="exited with status 1").filter(has_text="crashed")
        expect(row).to_have_count(1)
        row.get_by_text("what is known").click()
        details = page.locator(f"#{row.locator('details').get_attribute('id')}")
        expect(details).to_have_attribute("open", "")
        expect(row).to_contain_text("KeyError: 'b'")
        expect(row).to_contain_text("the pump measures")
        with studio.client() as client:
            client.post(f"{system.path}/restart", json={"app": "pump"}).raise_for_status()
        expect(row).to_have_count(2)
        expect(details).to_have_attribute("open", "")  # what somebody reads stays
        row = row.filter(has=details)
        check(page)
        row.scroll_into_view_if_needed()
        shot(page, "studio-post-mortem")


def test_a_guests_console_in_the_page(studio: Server, page: Page, tmp_path: Path) -> None:
    """The page's part: bytes are shown and keys sent as they are, and what was shown is granted again."""
    heard: list[str | bytes] = []

    def guest(socket: WebSocketRoute) -> None:
        socket.on_message(lambda message: heard.append(message))
        socket.send(json.dumps({"open": {"app": "guest", "kind": "console", "window": 65536}}))
        socket.send(b"\x1b[1mguest\x1b[0m login: ")

    apps = {"guest": {"kind": "console", "running": True, "who": None, "allowed": True}}
    with real.device(tmp_path, studio.bus_port) as system:
        system.wait_for("pump 1.0 turns")
        page.route("**/streams", lambda route: route.fulfill(json=apps))
        page.route_web_socket("**/streams/console/guest", guest)
        page.goto(f"{studio.url}/devices/{system.id}/tab/debug")
        page.get_by_role("button", name="Open").click()
        expect(page.locator(".xterm-rows")).to_contain_text("guest login:")
        page.keyboard.type("root")
        page.keyboard.press("Control+c")
        check(page)
        shot(page, "studio-guest-console")
        page.get_by_role("button", name="Close").click()
        expect(page.get_by_role("status").filter(has_text="closed: you left")).to_be_visible()
    typed = b"".join(one for one in heard if isinstance(one, bytes))
    granted = sum(json.loads(one)["more"] for one in heard if isinstance(one, str))
    assert typed == b"root\x03" and granted == len(b"\x1b[1mguest\x1b[0m login: ")


def answer(found: object, route: Route) -> None:
    route.fulfill(json=found)


def test_gdb_is_told_how_to_attach(studio: Server, page: Page, tmp_path: Path) -> None:
    apps = {"meter": {"kind": "gdb", "running": True, "who": None, "allowed": True}}
    with real.device(tmp_path, studio.bus_port) as system:
        system.wait_for("pump 1.0 turns")
        command, none = "kos-tool toolbox.debug meter --device", "No app of this system is open"
        for found, words in ((apps, command), ({}, none)):
            page.route("**/streams", partial(answer, found))
            page.goto(f"{studio.url}/devices/{system.id}/tab/debug")
            expect(page.get_by_text(words)).to_be_visible()
            check(page)
            shot(page, f"studio-debug-{len(found)}")
            page.unroute("**/streams")
