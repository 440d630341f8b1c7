"""Show the console of a running system, or a saved one"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from kos.tool import options, output, runs

SECTION = "Run"


@click.command()
@options.SYSTEM
@click.option("--app", "apps", multiple=True, help="Only the lines of that app; may be given again.")
@click.option("--file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A saved console.")
@click.option("--no-history", is_flag=True, help="Only what comes from now on.")
def command(system: str | None, apps: tuple[str, ...], file: Path | None, no_history: bool) -> None:
    """Show the console of a running system until it ends or Ctrl-C, or a saved one with --file."""
    if file is not None:
        if system is not None:
            raise click.UsageError("either a running SYSTEM or a --file, not both")
        _show(_saved(file), apps)
        return
    with runs.connect(system) as client:
        _show(client.console(history=not no_history), apps)


def _saved(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8", errors="backslashreplace") as lines:
        for line in lines:
            yield line.rstrip("\n")


def _show(lines: Iterator[str], apps: tuple[str, ...]) -> None:
    from kos.device.console.parse import coloured, only

    colours = not output.plain(sys.stdout)
    for line in only(lines, apps) if apps else lines:
        output.result(coloured(line) if colours else line)
