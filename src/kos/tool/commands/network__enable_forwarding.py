"""Let locally attached devices reach a public server"""

from __future__ import annotations

import click

from kos.tool import forwarding, output

SECTION = "Network"


@click.command()
@click.option(
    "-i",
    "--interface",
    "interfaces",
    multiple=True,
    required=True,
    help="Where the devices are: a bridge of virtual machines, an Ethernet port (repeatable).",
)
@click.option("-u", "--uplink", help="The interface that leads outside.  [default: the default route's]")
@click.option("--dry-run", is_flag=True, help="Print what would be done and change nothing.")
def command(interfaces: tuple[str, ...], uplink: str | None, dry_run: bool) -> None:
    """Forward what devices on --interface send, under this machine's own address.

    Adds one nftables table and turns IPv4 forwarding on. Enabling again changes nothing;
    network.disable_forwarding takes everything back.
    """
    outside = forwarding.default_uplink() if uplink is None else uplink
    wanted = forwarding.Forwarding(tuple(interfaces), outside)
    forwarding.check_interfaces(wanted)
    if dry_run:
        for step in forwarding.steps_to_enable(wanted):
            output.result(step)
        return
    options = [word for name in interfaces for word in ("--interface", name)]
    options += ["--uplink", uplink] if uplink else []
    forwarding.require_right(forwarding.command_line("network.enable_forwarding", options))
    changed = forwarding.enable(wanted)
    what = f"{', '.join(wanted.inside)} to {wanted.uplink}"
    output.step(f"forwarding from {what}" if changed else f"forwarding from {what} already; nothing changed")
