"""The command line that an entry describes, with one thing at a time wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from kos.tool import main
from tests.tool.sweep.entries import Entry
from tests.tool.sweep.kinds import STRANGE, Kind, Text

NOT_A_NUMBER = ("x", "", "9" * 30, "nan", "inf", "1 2", "\u0661.")


def parameters(name: str) -> list[click.Parameter]:
    command = main.cli.get_command(click.Context(main.cli), name)
    assert command is not None
    return command.params


def plain(parameter: click.Parameter) -> bool:
    """Whether it takes a file or words; not a switch, a choice or a number."""
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return False
    return isinstance(parameter.type, click.Path | click.types.StringParamType)


def number(parameter: click.Parameter) -> bool:
    return isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType)


def line(name: str, given: Mapping[str, str]) -> list[str]:
    """The command with these values; options as one word, so that a value may begin with a dash."""
    words = [name]
    arguments = []
    for parameter in parameters(name):
        if parameter.name not in given:
            continue
        value = given[parameter.name]
        if isinstance(parameter, click.Option) and parameter.is_flag:
            words.append(max(parameter.opts, key=len))
        elif isinstance(parameter, click.Argument):
            arguments.append(value)
        else:
            long = max(parameter.opts, key=len)
            words.append(f"{long}={value}")
    return [*words, "--", *arguments] if arguments else words


def wrong_texts(kind: Text) -> Iterator[str]:
    yield from STRANGE
    yield from kind.refused


def needed(name: str) -> set[str]:
    """The parameters without which a command does something else or nothing."""
    return {str(p.name) for p in parameters(name) if p.required or isinstance(p, click.Argument)}


def goods_of(kinds: Mapping[str, Kind], place: Path) -> dict[str, str]:
    """Something good for each parameter."""
    (place / "good").mkdir()
    return {
        one: kind.good if isinstance(kind, Text) else inside(kind.make(place / "good", one))
        for one, kind in kinds.items()
    }


def beside(name: str, entry: Entry, one: str, good: Mapping[str, str]) -> dict[str, str]:
    """What must be given with a parameter, so that only that one is wrong."""
    given: dict[str, str | None] = {each: good[each] for each in (needed(name) | entry.also) & good.keys()}
    given |= {**entry.always, **entry.beside.get(one, {})}
    return {each: value for each, value in given.items() if value is not None and each != one}


def inside(path: Path) -> str:
    """A path as it is typed where the test is."""
    return str(path.relative_to(Path.cwd()))
