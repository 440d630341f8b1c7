"""Let a rollout go on"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("rollout", type=int)
@SERVER
@options.JSON
def command(rollout: int, url: str | None, as_json: bool) -> None:
    """Let a rollout go on."""
    found = ServerClient(url).post(f"/rollouts/{rollout}/resume")
    if as_json:
        output.result_json(found)
    else:
        output.result(f"{found['name']} is {found['state']}")
