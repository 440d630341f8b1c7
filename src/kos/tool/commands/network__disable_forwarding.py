"""Take back what network.enable_forwarding did"""

from __future__ import annotations

import click

from kos.tool import forwarding, output

SECTION = "Network"


@click.command()
@click.option("--dry-run", is_flag=True, help="Print what would be done and change nothing.")
def command(dry_run: bool) -> None:
    """Remove our nftables table and set IPv4 forwarding to what it was before."""
    forwarding.require_right(forwarding.command_line("network.disable_forwarding", []))
    if dry_run:
        for step in forwarding.steps_to_disable():
            output.result(step)
        return
    output.step(
        "forwarding is off again" if forwarding.disable() else "forwarding was not on; nothing changed"
    )
