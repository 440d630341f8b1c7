"""The reference page is the one that the tables of fields give, and it explains every key."""

from __future__ import annotations

from pathlib import Path

from kos.manifest.docs import meanings, page
from kos.manifest.model import ACCESS, APP, MANIFEST, MSG_SERVER, RESTART
from kos.manifest.options import OPTIONS, TUNNEL_IP

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "manifest.md"


def test_the_page_is_current():
    assert PAGE.read_text() == page(), "run: python -m kos.manifest.docs docs/reference/manifest.md"


def test_every_key_is_explained():
    for record in (APP, OPTIONS, MANIFEST, RESTART, ACCESS, MSG_SERVER, TUNNEL_IP):
        missing = set(record.members) - set(meanings(record))
        assert missing == set(), f"{record.make.__name__} does not say what these mean"
