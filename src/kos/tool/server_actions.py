"""Commands that name one thing of a server and do one thing to it: the same for every action."""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient


def device_action(action: str, text: str) -> click.Command:
    """The command `server.devices.ACTION`; `text` is its help."""

    @click.command(help=text)
    @click.argument("device")
    @SERVER
    @options.JSON
    def command(device: str, url: str | None, as_json: bool) -> None:
        client = ServerClient(url)
        found = client.post(f"/devices/{client.device(device)['id']}/{action}")
        if as_json:
            output.result_json(found)
        else:
            output.result(f"{found['name']} is {found['status']}")

    return command


def rollout_action(action: str, text: str) -> click.Command:
    """The command `server.rollouts.ACTION`; `text` is its help."""

    @click.command(help=text)
    @click.argument("rollout", type=int)
    @SERVER
    @options.JSON
    def command(rollout: int, url: str | None, as_json: bool) -> None:
        found = ServerClient(url).post(f"/rollouts/{rollout}/{action}")
        if as_json:
            output.result_json(found)
        else:
            output.result(f"{found['name']} is {found['state']}")

    return command
