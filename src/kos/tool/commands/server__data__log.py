"""Search the console log of a device"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("device")
@click.option("--app", default="", help="Only this app.")
@click.option("--text", default="", help="Only lines that contain this.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 500), help="At most so many.")
@SERVER
@options.JSON
def command(device: str, app: str, text: str, limit: int, url: str | None, as_json: bool) -> None:
    """Print stored console lines of DEVICE, the newest last."""
    client = ServerClient(url)
    found = client.get(f"/devices/{client.device(device)['id']}/log", app=app, text=text, limit=limit)
    if as_json:
        output.result_json(found)
        return
    for line in reversed(found):
        output.result(f"|{line['seconds']:11.3f}| {line['app']:<18s} | {line['text']}")
