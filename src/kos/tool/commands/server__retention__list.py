"""List how long data is kept"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@SERVER
@options.JSON
def command(url: str | None, as_json: bool) -> None:
    """List the organisation's rules, and the server's maximum."""
    client = ServerClient(url)
    found = client.get("/retention")
    if as_json:
        output.result_json(found)
        return
    rows = [(str(one["id"]), one["pattern"], f"{one['days']:g}") for one in found["rules"]]
    rows.append(("", "everything else", f"{found['days_max']:g}"))
    output.result(output.table(["", "streams", "days"], rows))
