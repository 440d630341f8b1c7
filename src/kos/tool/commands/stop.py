"""Stop a running system"""

from __future__ import annotations

import click

from kos.tool import options, output, runs

SECTION = "Run"


@click.command()
@options.SYSTEM
def command(system: str | None) -> None:
    """Stop a running system and wait until all of it is gone."""
    with runs.connect(system) as client:
        client.stop()
    output.say("stopped")
