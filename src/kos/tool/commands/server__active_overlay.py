"""Show, set or remove the overlay of a device"""

from __future__ import annotations

from typing import Any

import click

from kos.abi.errors import KosError
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
    overlays = client.get("/overlays", limit=500)
    if overlay or remove:
        number = None if remove else _find(overlays, overlay or "")
        found = client.put(f"/devices/{found['id']}/overlay", {"overlay_id": number})
    active = next((one for one in overlays if one["id"] == found["overlay_id"]), None)
    if as_json:
        output.result_json(active)
    else:
        output.result(f"{active['name']} {active['sha256'][:12]}" if active else "none")


def _find(overlays: list[dict[str, Any]], name: str) -> int:
    for one in overlays:
        if name in (str(one["id"]), one["name"]) or (len(name) >= 8 and one["sha256"].startswith(name)):
            return int(one["id"])
    raise KosError(f"no overlay called {name!r}", hint="kos-tool server.upload_overlay brings one")
