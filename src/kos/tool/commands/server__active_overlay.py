"""Show, set or remove the overlay of a device"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("device")
@click.argument("overlay", required=False)
@click.option("--none", "remove", is_flag=True, help="Take the overlay away.")
@SERVER
@options.JSON
def command(device: str, overlay: str | None, remove: bool, url: str | None, as_json: bool) -> None:
    """Show the active overlay of DEVICE, or make OVERLAY (number, name or digest) the active one."""
    client = ServerClient(url)
    found = client.device(device)
    if overlay is not None or remove:
        number = None if remove or overlay is None else client.overlay(overlay)["id"]
        found = client.put(f"/devices/{found['id']}/overlay", {"overlay_id": number})
    active = client.overlay(str(found["overlay_id"])) if found["overlay_id"] else None
    if as_json:
        output.result_json(active)
    else:
        output.result(f"{active['name']} {active['sha256'][:12]}" if active else "none")
