"""Show which notifications arrived"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.option(
    "--count", type=click.IntRange(1, 500), default=50, show_default=True, help="How many, newest first."
)
@SERVER
@options.JSON
def command(count: int, url: str | None, as_json: bool) -> None:
    """Show what was sent, waits, or was given up."""
    found = ServerClient(url).get("/notifications/deliveries", limit=count)
    if as_json:
        output.result_json(found)
        return
    rows = [
        (one["state"], one["severity"], one["title"], str(one["attempts"]), one["error"]) for one in found
    ]
    output.result(output.table(["state", "severity", "event", "tries", "why not"], rows))
