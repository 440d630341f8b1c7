"""Pause a rollout"""

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
    """Pause a rollout."""
    found = ServerClient(url).post(f"/rollouts/{rollout}/pause")
    if as_json:
        output.result_json(found)
    else:
        output.result(f"{found['name']} is {found['state']}")
