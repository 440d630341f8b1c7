"""The reference of the command line says what the command line does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/kos-tool.md"


def test_the_page_in_the_tree_is_current():
    # In a process of its own: click keeps the help option of a command that another test called directly.
    command = [sys.executable, "-m", "kos.tool.reference"]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert made == PAGE.read_text(), "python -m kos.tool.reference > docs/reference/kos-tool.md"
