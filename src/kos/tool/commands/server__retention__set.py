"""Say how long data is kept"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("pattern")
@click.argument("days", type=options.Number(0, 36_500, min_open=True), required=False)
@click.option("--remove", is_flag=True, help="Keep them as long as the server keeps everything.")
@SERVER
@options.JSON
def command(pattern: str, days: float | None, remove: bool, url: str | None, as_json: bool) -> None:
    """Keep the streams that match PATTERN for so many DAYS.

    A pattern is the name of a series with * for any part, or @console or @events; of several that match, the
    longest one counts.
    """
    if (days is None) != remove:
        raise click.UsageError("give either DAYS or --remove")
    client = ServerClient(url)
    if remove:
        found = client.retention_rule(pattern)
        client.call("DELETE", f"/retention/{found['id']}")
    else:
        found = client.put("/retention", {"pattern": pattern, "days": days})
    if as_json:
        output.result_json(found)
    else:
        output.result(f"{pattern}: " + ("as the server says" if remove else f"{found['days']:g} days"))
