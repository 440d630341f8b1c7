"""Make a new system project"""

from __future__ import annotations

from pathlib import Path

import click

from kos.tool import output

SECTION = "Start"


@click.command()
@click.argument("name")
@click.option(
    "--directory", type=click.Path(path_type=Path), help="Where to make it.  [default: NAME]", metavar="DIR"
)
def command(name: str, directory: Path | None) -> None:
    """Make a system project with one Python app, which builds and runs as it is, and print its path."""
    from kos.tool import new

    new.check_name(name)
    place = directory or Path(name)
    new.make("system", name, place)
    output.result(str(place))
    output.say(f"next: kos-tool run {place}")
