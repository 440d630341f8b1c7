"""Notify people or a program of alarms and rollouts"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("name")
@click.argument("target")
@click.option(
    "--severity",
    type=click.Choice(["info", "warning", "critical"]),
    default="warning",
    show_default=True,
    help="Nothing milder is sent.",
)
@SERVER
@options.JSON
def command(name: str, target: str, severity: str, url: str | None, as_json: bool) -> None:
    """Send notifications to TARGET: a URL, or e-mail addresses with commas between.

    A webhook's secret is printed once; the receiver checks signatures with it.
    """
    kind = "webhook" if "://" in target else "email"
    body = {"name": name, "kind": kind, "target": target, "severity": severity}
    found = ServerClient(url).post("/notifications/channels", body)
    if as_json:
        output.result_json(found)
        return
    output.result(f"channel {found['id']}: {found['name']}, {found['kind']} to {found['shown']}")
    if found["secret"]:
        output.result(f"secret: {found['secret']}")
