"""Make a new C app in a system project"""

from __future__ import annotations

from pathlib import Path

import click

from kos.tool import options, output

SECTION = "Start"


@click.command()
@click.argument("name")
@options.IN_PROJECT
def command(name: str, project: Path) -> None:
    """Make a C app in a system project, below apps/, and print its path."""
    from kos.tool import new

    new.check_name(name)
    place = new.app_directory(project, name)
    new.make("c", name, place)
    output.result(str(place))
    output.say(f'next, in system.py: .put_app(App("{name}", CImage("apps/{name}")))')
    output.say("which needs: from kos.manifest import CImage")
    output.say(f'and a port, without which it has no message server: .connect_protocol("{name}", Poukai.log)')
