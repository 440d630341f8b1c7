"""Upgrade one device to a release"""

from __future__ import annotations

from pathlib import Path

import click

from kos.abi.errors import KosError
from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("device")
@click.argument("release")
@options.wait("--wait", 300.0, "for its verdict; 0 does not.")
@SERVER
@options.JSON
def command(device: str, release: str, wait: float, url: str | None, as_json: bool) -> None:
    """Upgrade DEVICE to RELEASE: a number, a digest, a version, or the path of a manifest.zip to upload."""
    client = ServerClient(url)
    identity = client.device(device)["id"]
    path = Path(release)
    wanted = (
        client.upload("/releases", path)
        if path.suffix == ".zip" and path.exists()
        else client.release(release)
    )
    found = client.put(f"/devices/{identity}/release", {"release_id": wanted["id"]})
    if wait:
        output.step(f"{found['name']} was told to run {wanted['system']} {wanted['version']}")
        found = client.wait_for_update(identity, found["desired_version"], wait)
    if as_json:
        output.result_json(found)
    elif wait and found["update_state"] != "healthy":
        raise KosError(f"{found['name']} {found['update_state']}: {found['update_reason']}")
    else:
        output.result(f"{found['name']}: {found['update_state'] if wait else 'told'}")
