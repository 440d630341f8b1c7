"""What apps publish, as charts and as the tables behind them; lists of devices in a narrow window."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import pytest
from playwright.sync_api import Locator, Page, expect

from kos.services.admin.state import clock_ms
from tests.browser.accessible import check
from tests.browser.conftest import shot
from tests.browser.test_fleet_pages import WIDEST
from tests.browser.test_walk import press, reach
from tests.server.devices import Park
from tests.server.running import Server, wait_for

pytestmark = pytest.mark.group("browser")

VALUES = [1000.0, 1002.5, 1005.0]  # told apart by their digits


@dataclass
class Senders:
    """Two devices that only one test knows, and what both send."""

    series: str
    names: list[str]
    ids: list[str]


@pytest.fixture
def senders(fleet: Server, devices: Park, page: Page, request: pytest.FixtureRequest) -> Senders:
    """They are accepted and have sent their numbers; the page is logged in, in a narrow and dark window."""
    client, mark = fleet.login(), hashlib.sha256(request.node.name.encode()).hexdigest()[:8]
    made = devices.add(2, fleet.bus_port, salt=mark)
    found = Senders(
        f"{mark}/pressure", [f"boiler {mark} {letter}" for letter in "ab"], [one.id for one in made]
    )
    for number, device in enumerate(made):
        path = f"/api/v1/devices/{device.id}"
        wait_for(lambda path=path: client.get(path).is_success, "the device appears")
        client.post(f"{path}/accept").raise_for_status()
        wait_for(device.joined.is_set, "it joins")
        client.patch(path, json={"name": found.names[number], "tags": [mark]}).raise_for_status()
        begin = clock_ms() - 60_000
        points = [(found.series, begin + at * 1000, value + 10 * number) for at, value in enumerate(VALUES)]
        devices.call(device.measure, points)
        stored = f"{path}/series"
        wait_for(lambda stored=stored: found.series in client.get(stored).json(), "its numbers are stored")
    cookies = client.cookies
    page.context.add_cookies([{"name": "kos_session", "value": cookies["kos_session"], "url": fleet.url}])
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme="dark")
    return found


def fits(page: Page) -> None:
    """Nothing is wider than the window, and nothing has to be pushed sideways to be read."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{wide} pixels wider than the window: {page.evaluate(WIDEST)}"
    scrolled = page.evaluate(
        "[...document.querySelectorAll('.flush, .found')].filter((one) => one.scrollWidth > one.clientWidth)"
        ".map((one) => one.outerHTML.slice(0, 80))"
    )
    assert not scrolled


def picture(page: Page, title: str, values: str) -> Locator:
    # A slash would end the pattern on its way to the browser.
    return page.get_by_role("img", name=re.compile(f"{title}.*{values}".replace("/", ".")))


def test_a_series_of_all_devices(fleet: Server, page: Page, senders: Senders) -> None:
    page.goto(f"{fleet.url}/data")
    press(page, page.get_by_role("link", name=senders.series))
    for number in range(2):
        most = 1005 + 10 * number
        title = f"{senders.series} of {senders.names[number]}"
        expect(picture(page, title, f"{most} now, {most - 5} to {most} in this time")).to_be_visible()
        section = page.locator(f'[data-points="/api/v1/devices/{senders.ids[number]}/points"]')
        expect(section.locator("canvas")).to_be_visible()
    check(page)
    fits(page)
    shot(page, "data-narrow-dark")

    # The same without eyes or mouse: the table behind the second picture.
    press(page, page.get_by_text(f"As a table of {senders.series} of {senders.names[1]}"))
    table = page.get_by_role("table", name=f"Values of {senders.series} of {senders.names[1]}")
    expect(table.get_by_role("row")).to_have_count(1 + len(VALUES))
    assert table.get_by_role("columnheader").all_inner_texts() == ["Time (UTC)", "Value"]
    shown = [row.get_by_role("cell").nth(1).inner_text() for row in table.get_by_role("row").all()[1:]]
    assert shown == ["1015", "1012.5", "1010"], "newest first"
    reach(page, page.get_by_role("region", name=f"Values of {senders.series} of {senders.names[1]}"))
    check(page)
    fits(page)
    page.emulate_media(color_scheme="light")
    expect(picture(page, f"{senders.series} of {senders.names[1]}", "1015 now")).to_be_visible()
    check(page)
    page.goto(f"{fleet.url}/data?series=nobody/sends/this")
    expect(page.get_by_role("alert")).to_have_text("No device has sent the series nobody/sends/this.")


def test_all_series_of_a_device(fleet: Server, page: Page, senders: Senders) -> None:
    page.goto(f"{fleet.url}/devices/{senders.ids[0]}/tab/data")
    expect(picture(page, senders.series, "1005 now, 1000 to 1005 in this time")).to_be_visible()
    expect(picture(page, "device/memory_used", "MiB now")).to_be_visible()
    press(page, page.get_by_text(f"As a table of {senders.series}"))
    expect(page.get_by_role("table", name=f"Values of {senders.series}").get_by_role("row")).to_have_count(4)
    check(page)
    fits(page)
    shot(page, "device-data-narrow-dark")


@pytest.mark.parametrize("width", [360, 1360])
def test_a_list_of_devices(fleet: Server, page: Page, senders: Senders, width: int) -> None:
    """In a narrow window each device is a card; to a screen reader it is the same table in both."""
    page.set_viewport_size({"width": width, "height": 740})
    page.goto(f"{fleet.url}/?query=tag:{senders.series[:8]}")
    table = page.get_by_role("table", name="Devices")
    expect(table.get_by_role("row")).to_have_count(3)
    row = table.get_by_role("row").filter(has=page.locator(f'a[href="/devices/{senders.ids[1]}"]'))
    expect(row.get_by_role("cell").filter(has_text="online")).to_be_visible()
    expect(table.get_by_role("columnheader", name="Platform")).to_be_attached()
    # Not asked of one element: the list is put in anew with each report.
    expect(row).to_have_css("display", "block" if width == 360 else "table-row")
    check(page)
    fits(page)
    shot(page, f"devices-{width}-dark")
