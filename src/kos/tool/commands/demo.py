"""Run the weather station on this machine and see what KOS does"""

from __future__ import annotations

import click

SECTION = "Start"


@click.command()
@click.option("--once", is_flag=True, help="End by itself after everything was shown.")
def command(once: bool) -> int:
    """Build and run the weather station, an example system, isolated on this machine.

    A C app reads a simulated sensor and sends readings to a Python app. Then one app is crashed on purpose
    and restarted alone, a connection that the manifest does not grant is refused, and the graph is shown.
    """
    from kos.tool import demo

    return demo.run(once=once)
