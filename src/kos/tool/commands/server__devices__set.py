"""Set the settings of a device"""

from __future__ import annotations

import json

import click

from kos.abi.errors import KosError
from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("device")
@click.argument("settings", nargs=-1, metavar="[NAME=VALUE]...")
@SERVER
@options.JSON
def command(device: str, settings: tuple[str, ...], url: str | None, as_json: bool) -> None:
    """Show the settings of DEVICE, or set some: heartbeat=5, console=false; NAME= takes one away."""
    client = ServerClient(url)
    path = f"/devices/{client.device(device)['id']}"
    now = client.get(path)["settings"]
    for one in settings:
        name, equals, value = one.partition("=")
        if not equals:
            raise KosError(f"not a setting: {one!r}", hint="NAME=VALUE")
        now.pop(name, None)
        if value:
            try:
                now[name] = json.loads(value)
            except ValueError:
                now[name] = value
    if settings:
        now = client.put(f"{path}/settings", {"settings": now})["settings"]
    if as_json:
        output.result_json(now)
    else:
        output.result(
            output.table(["setting", "value"], [(key, str(value)) for key, value in sorted(now.items())])
        )
