"""Send a test notification"""

from __future__ import annotations

import time
from typing import Any

import click

from kos.abi.errors import KosError
from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"

AGAIN = 0.3  # seconds between two looks


@click.command()
@click.argument("channel")
@options.wait("--timeout", 60.0, "for the outcome.")
@SERVER
@options.JSON
def command(channel: str, timeout: float, url: str | None, as_json: bool) -> None:
    """Send a test to CHANNEL (number or name) and say whether it arrived."""
    client = ServerClient(url)
    started = client.post(f"/notifications/channels/{client.channel(channel)['id']}/test")
    found = _outcome(client, started["id"], timeout)
    if as_json:
        output.result_json(found)
    else:
        output.result(f"arrived, id {found['key']}")


def _outcome(client: ServerClient, number: int, timeout: float) -> dict[str, Any]:
    """The delivery once it has arrived. Raises KosError with the reason when it does not."""
    deadline = time.monotonic() + timeout
    while True:
        deliveries = client.get("/notifications/deliveries")
        found = next((one for one in deliveries if one["id"] == number), None)
        if found is None:
            raise client.strange("none about what was just sent")
        if found["state"] == "sent":
            return dict(found)
        if found["error"]:
            raise KosError(f"it did not arrive: {found['error']}", hint="the server tries again by itself")
        if time.monotonic() > deadline:
            raise KosError(
                f"it waits still after {timeout:g} s",
                hint="see kos-tool server.notifications.log",
            )
        time.sleep(AGAIN)
