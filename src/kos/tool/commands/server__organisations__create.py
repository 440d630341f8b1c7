"""Make an organisation on a Fleet Server"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("slug")
@click.option("--name", help="How it is called.  [default: SLUG]")
@click.option("--admin", "email", required=True, help="E-mail address of its first administrator.")
@click.option(
    "--password",
    prompt=True,
    hide_input=True,
    confirmation_prompt=True,
    help="Their first password.  [default: asks]",
)
@SERVER
@options.JSON
def command(slug: str, name: str | None, email: str, password: str, url: str | None, as_json: bool) -> None:
    """Make the organisation SLUG, whose devices, releases and people nobody else sees."""
    body = {"slug": slug, "name": name or slug, "email": email, "password": password}
    found = ServerClient(url).post("/organisations", body)
    if as_json:
        output.result_json(found)
    else:
        output.result(f"organisation {found['id']}: {found['name']}")
