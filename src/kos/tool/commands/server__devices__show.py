"""Show all that a device last said"""

from __future__ import annotations

from typing import Any

import click

from kos.abi.session import refused
from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("device")
@SERVER
@options.JSON
def command(device: str, url: str | None, as_json: bool) -> None:
    """Show one DEVICE, by name, id or the beginning of its id."""
    client = ServerClient(url)
    found = client.get(f"/devices/{client.device(device)['id']}")
    if as_json:
        output.result_json(found)
        return
    for key, value in found.items():
        if key not in ("apps", "metrics") and value not in (None, "", []):
            output.result(f"{key:16} {_text(key, value)}")
    rows = [
        [name, app["state"], app["restarts"], app["memory"] // 1024, refused(app)]
        for name, app in found["apps"].items()
    ]
    output.result(output.table(["app", "state", "restarts", "memory KiB", "refused"], rows))


def _text(key: str, value: Any) -> str:
    """A value for people; times come in milliseconds."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return output.when(value / 1000) if key.endswith("_at") and isinstance(value, int) else str(value)
