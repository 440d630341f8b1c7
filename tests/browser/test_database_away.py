"""The database goes and comes back under an open page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessible import check
from tests.browser.conftest import shot
from tests.server import postgres
from tests.server.running import Server, running

pytestmark = pytest.mark.group("browser")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[postgres.Instance, Server]]:
    """A Studio with a database that can be stopped."""
    if postgres.find("initdb") is None:
        pytest.skip("needs postgresql: apt-get install postgresql")
    with (
        postgres.instance() as database,
        running(tmp_path, auto_accept=True, database=database.url) as server,
    ):
        yield database, server


def test_a_page_says_so_and_comes_back_by_itself(
    served: tuple[postgres.Instance, Server], page: Page
) -> None:
    database, studio = served
    page.goto(studio.url)
    expect(page.get_by_role("heading", name="No device yet")).to_be_visible()
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme="dark")
    with database.away():
        page.goto(f"{studio.url}/data")
        expect(page.get_by_role("heading", name="The database is away")).to_be_visible()
        expect(page.get_by_role("link", name="Try again")).to_have_attribute("href", "/data")
        check(page)
        shot(page, "database-away")
    expect(page.get_by_role("heading", name="Data", exact=True)).to_be_visible()
