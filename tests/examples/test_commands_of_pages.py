"""Every command that a page shows exists, takes the options and as many arguments as it is shown with."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from kos.tool.main import cli

pytestmark = pytest.mark.group("examples")

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "docs/reference/kos-tool.md"
PAGES = sorted(
    {*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*/README.md")}
    - {GENERATED}
)
COMMANDS = cli.list_commands(click.Context(cli))
BLOCK = re.compile(r"^```\w*\n(.*?)^```$|^((?: {4}[^\n]*\n)+)", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
SHOWN = re.compile(r"(?:^|[\s(;&\"])(?:\./)?kos-tool +([^|;&>)#\n]+)")


def lines_of_blocks(text: str) -> Iterator[str]:
    """What follows `kos-tool` in blocks of code; of a session with prompts, what was typed."""
    for fenced, indented in BLOCK.findall(text):
        lines = (fenced or indented).replace("\\\n", " ").splitlines()
        typed = [line for line in lines if line.startswith("$ ")]
        for line in typed or lines:
            yield from SHOWN.findall(line)


def spans_of_text(text: str) -> Iterator[str]:
    """The same of code within a sentence, which may leave `kos-tool` out."""
    for span in SPAN.findall(BLOCK.sub("", text)):
        name = span.split()[0]
        yield from [span] if "." in name and name in COMMANDS else SHOWN.findall(span)


def check(line: str, whole: bool) -> None:
    """That a command line parses; its values are looked at only where they are one of a few words.

    Args:
        line: without `kos-tool`.
        whole: what must be given is given. A sentence may name a command or an option only.

    Raises:
        click.UsageError: it does not.
    """
    words = shlex.split(line)
    if words[0].startswith("-"):  # such as --yes
        words = words[1:]
    if not words or words[0] == "COMMAND" or "…" in words[0]:
        return
    command = cli.get_command(click.Context(cli), words[0])
    if command is None:
        raise click.UsageError(f"there is no command {words[0]}")
    context = click.Context(command, info_name=words[0])
    try:
        values, rest, _order = command.make_parser(context).parse_args(words[1:])
    except click.BadOptionUsage:  # an option that is there, without its value
        if whole:
            raise
        return
    if rest:
        raise click.UsageError(f"{rest} are too many arguments")
    for parameter in command.get_params(context):
        value = values.get(parameter.name or "")
        if isinstance(parameter.type, click.Choice) and isinstance(value, str):
            parameter.type.convert(value, parameter, context)
        if whole and parameter.required and not value:
            raise click.MissingParameter(ctx=context, param=parameter)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_as_the_page_shows_them(page: Path) -> None:
    text, wrong = page.read_text(), []
    lines = [(line, True) for line in lines_of_blocks(text)] + [(line, False) for line in spans_of_text(text)]
    for line, whole in lines:
        try:
            check(line, whole)
        except (click.UsageError, ValueError) as error:
            wrong.append(f"{line!r}: {error}")
    assert not wrong


@pytest.mark.parametrize(
    "line",
    [
        "no.such",
        "run --no-such",
        "run one two",
        "server.gateway",
        "manifest.check --profile nightly",
        "server.rollouts.show 1 2",
    ],
)
def test_what_is_wrong_is_found(line: str) -> None:
    [found] = lines_of_blocks(f"Try this:\n\n```sh\nkos-tool {line}    # a comment\n```\n")
    with pytest.raises(click.UsageError):
        check(found, whole=True)
