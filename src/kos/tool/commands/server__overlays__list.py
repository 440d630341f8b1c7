"""List the overlays of a server"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@SERVER
@options.JSON
def command(url: str | None, as_json: bool) -> None:
    """List overlays, newest first."""
    found = ServerClient(url).get("/overlays", limit=500)
    if as_json:
        output.result_json(found)
        return
    rows = [
        (
            str(one["id"]),
            one["name"],
            one["sha256"][:12],
            ", ".join(one["document"].get("apps", {})) or "settings",
        )
        for one in found
    ]
    output.result(output.table(["", "overlay", "digest", "changes"], rows))
