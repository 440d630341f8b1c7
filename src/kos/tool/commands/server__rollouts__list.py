"""List the rollouts of a Fleet Server"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@SERVER
@options.JSON
def command(url: str | None, as_json: bool) -> None:
    """List rollouts, newest first."""
    found = ServerClient(url).get("/rollouts", limit=100)
    if as_json:
        output.result_json(found)
        return
    rows = [
        [one["id"], one["name"], one["state"], one["phase"] + 1, one["target"], one["reason"]]
        for one in found
    ]
    output.result(output.table(["id", "name", "state", "phase", "target", "reason"], rows))
