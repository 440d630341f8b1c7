"""List the devices of a server"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import PAGE, SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("query", required=False, default="", metavar="[QUERY]")
@SERVER
@options.JSON
def command(query: str, url: str | None, as_json: bool) -> None:
    """List devices, or those that match a QUERY such as `tag:lab online:true name:pump*`."""
    client, found = ServerClient(url), []
    while True:
        page = client.get("/devices", query=query, limit=PAGE, offset=len(found))
        devices = page["devices"]
        found += devices
        if not devices or len(found) >= page["total"]:
            break
    if as_json:
        output.result_json(found)
        return
    rows = [
        [
            one["name"],
            one["id"][:12],
            one["status"],
            "yes" if one["online"] else "no",
            one["system"],
            one["platform"],
            one["update_state"],
            " ".join(one["tags"]),
        ]
        for one in found
    ]
    output.result(
        output.table(["name", "id", "status", "online", "system", "platform", "update", "tags"], rows)
    )
