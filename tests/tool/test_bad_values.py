"""Words and numbers that no command may take: each is refused with the next step, and nothing is changed."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from kos.tool import main
from tests.tool.sweep.attempt import refused
from tests.tool.sweep.entries import ENTRIES, SERVER_ENTRIES
from tests.tool.sweep.kinds import STRANGE, Text
from tests.tool.sweep.lines import NOT_A_NUMBER, beside, goods_of, line, number, parameters, plain
from tests.tool.sweep.places import place

__all__ = ["place"]
NAMES = main.cli.list_commands(click.Context(main.cli))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_an_entry(name: str) -> None:
    wanted = {parameter.name for parameter in parameters(name) if plain(parameter)}
    assert set((ENTRIES | SERVER_ENTRIES)[name].kinds) == wanted


@pytest.mark.parametrize("name", ENTRIES)
def test_words(name: str, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    entry, kinds, faults = ENTRIES[name], ENTRIES[name].kinds, []
    good = goods_of(kinds, place)
    for one, kind in kinds.items():
        if not isinstance(kind, Text) or one in entry.unreached or kind.free:
            continue
        for word in (*STRANGE, *kind.refused):
            words = line(name, beside(name, entry, one, good) | {one: word})
            faults += refused(capfd, place, words)
    assert not faults, f"{len(faults)}\n" + "\n\n".join(faults)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_and_choices(name: str, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    entry, faults = (ENTRIES | SERVER_ENTRIES)[name], []
    good = goods_of(entry.kinds, place)
    for parameter in parameters(name):
        one = str(parameter.name)
        choice = isinstance(parameter.type, click.Choice)
        for value in NOT_A_NUMBER if number(parameter) else STRANGE if choice else ():
            words = line(name, beside(name, entry, one, good) | {one: value})
            faults += refused(capfd, place, words)
    for wrong in ("--no-such-option", "--=", "--json=1"):
        faults += refused(capfd, place, [name, wrong])
    assert not faults, f"{len(faults)}\n" + "\n\n".join(faults)
