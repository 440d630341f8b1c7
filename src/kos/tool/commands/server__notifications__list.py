"""List where a server's notifications go"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@SERVER
@options.JSON
def command(url: str | None, as_json: bool) -> None:
    """List the channels that notifications go to."""
    found = ServerClient(url).get("/notifications/channels")
    if as_json:
        output.result_json(found)
        return
    names = ("name", "kind", "shown", "severity")
    rows = [(str(one["id"]), *(one[name] for name in names), _state(one)) for one in found]
    output.result(output.table(["", "channel", "kind", "to", "from", "state"], rows))


def _state(channel: dict[str, object]) -> str:
    if not channel["enabled"]:
        return "off"
    return str(channel["error"]) or "on"
