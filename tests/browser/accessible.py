"""axe-core's rules on a page as it is now."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# Both are about themes of the reader, and our colours are checked by `color-contrast`, which stays on.
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}


def check(page: Page) -> None:
    """Fails with what is wrong and where."""
    found = Axe().run(page, options=RULES).response["violations"]
    told = [
        f"{one['id']}: {one['help']}: {node['target']} {node.get('failureSummary', '')[:300]}"
        for one in found
        for node in one["nodes"][:3]
    ]
    assert not told, "\n".join(told)
