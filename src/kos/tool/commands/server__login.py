"""Remember a server and a token for later commands"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import ServerClient, remember

SECTION = "Servers"


@click.command()
@click.argument("address", metavar="URL")
@click.option(
    "--token",
    prompt=True,
    hide_input=True,
    help="An API token, made under Access on the server.  [default: asks]",
)
@options.JSON
def command(address: str, token: str, as_json: bool) -> None:
    """Remember the server at URL for the commands that follow, once it has accepted the token."""
    who = ServerClient(address, token).get("/whoami")
    said = f"{who['name']}, {who['role']}, on a {who['server']['product'].title()} Server"
    remember(address, token)
    if as_json:
        output.result_json(who)
    else:
        output.result(said)
