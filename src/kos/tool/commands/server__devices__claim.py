"""Take a waiting device by its claim code"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("code")
@SERVER
@options.JSON
def command(code: str, url: str | None, as_json: bool) -> None:
    """Take the waiting device that shows the claim CODE on its console."""
    found = ServerClient(url).post("/claims", {"code": code})
    if as_json:
        output.result_json(found)
    else:
        output.result(f"{found['name']} is {found['status']}")
