"""Bad files for every command: each is refused by name, with the next step, and nothing is changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tool.sweep.attempt import refused
from tests.tool.sweep.entries import ENTRIES
from tests.tool.sweep.kinds import Text
from tests.tool.sweep.lines import beside, goods_of, inside, line
from tests.tool.sweep.places import place

__all__ = ["place"]
ELSEWHERE = {"server.start"}  # tests/server: it needs a process of its own


def reads_files(name: str) -> bool:
    return any(not isinstance(kind, Text) for kind in ENTRIES[name].kinds.values())


@pytest.mark.parametrize("name", [name for name in ENTRIES if reads_files(name) and name not in ELSEWHERE])
def test_bad_files(name: str, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    entry, kinds = ENTRIES[name], ENTRIES[name].kinds
    faults = []
    good = goods_of(kinds, place)
    for number, (one, kind) in enumerate(kinds.items()):
        if isinstance(kind, Text) or one in entry.unreached:
            continue
        corner = place / f"bad {number}"
        corner.mkdir()
        for path in kind.bad(corner):
            words = line(name, beside(name, entry, one, good) | {one: inside(path)})
            faults += refused(capfd, place, words, path.name[:60])
    assert not faults, f"{len(faults)}\n" + "\n\n".join(faults)
