"""A Chromium for the tests, and servers with something to see. Screenshots stay in `tests/browser/shots`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.server.fixtures import devices, fleet, studio

__all__ = ["browser", "devices", "fleet", "page", "studio"]

DEADLINE = 120_000  # ms that anything may take: the machine is busy with other tests too
expect.set_options(timeout=DEADLINE)
SHOTS = Path(os.environ.get("KOS_TEST_SHOTS", Path(__file__).parent / "shots"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        # Chromium's own sandbox refuses to run as root, where tests often do; the pages are ours.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        found = playwright.chromium.launch(
            executable_path=program, args=[*options, "--disable-dev-shm-usage"]
        )
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which any error of a script fails the test."""
    context = browser.new_context(viewport={"width": 1360, "height": 860}, reduced_motion="reduce")
    made = context.new_page()
    made.set_default_timeout(DEADLINE)
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.on(
        "console",
        lambda message: errors.append(message.text) if "Content Security Policy" in message.text else None,
    )
    yield made
    context.close()
    assert not errors


def shot(page: Page, name: str) -> None:
    """Keep what the reader sees."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")
