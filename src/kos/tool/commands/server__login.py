"""Remember a server and a token for later commands"""

from __future__ import annotations

import click

from kos.tool import output
from kos.tool.server_client import ServerClient, remember

SECTION = "Servers"


@click.command()
@click.argument("address", metavar="URL")
@click.option("--token", prompt=True, hide_input=True, help="An API token, made under Access on the server.")
def command(address: str, token: str) -> None:
    """Remember the server at URL for the commands that follow, once it has accepted the token."""
    who = ServerClient(address, token).get("/whoami")
    remember(address, token)
    output.result(f"{who['name']}, {who['role']}, on a {who['server']['product'].title()} Server")
