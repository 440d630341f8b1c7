"""The reference of the command line says what the command line does."""

from __future__ import annotations

from pathlib import Path

from kos.tool import reference

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/kos-tool.md"


def test_the_page_in_the_tree_is_current():
    assert PAGE.read_text() == reference.render(), "python -m kos.tool.reference > docs/reference/kos-tool.md"
