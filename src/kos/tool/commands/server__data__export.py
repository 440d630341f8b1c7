"""Export time series as CSV or line protocol"""

from __future__ import annotations

import click

from kos.tool import output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("query", required=False, default="", metavar="[QUERY]")
@click.option(
    "--form", type=click.Choice(["csv", "lines"]), default="csv", show_default=True, help="How it is written."
)
@click.option("--begin", type=int, help="Milliseconds since 1970.")
@click.option("--end", type=int, help="Milliseconds since 1970.")
@SERVER
def command(query: str, form: str, begin: int | None, end: int | None, url: str | None) -> None:
    """Print the points of the devices that match QUERY."""
    for line in ServerClient(url).lines("/export", devices=query, form=form, begin=begin, end=end):
        output.result(line)
