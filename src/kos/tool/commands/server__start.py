"""Start a Studio Server, or a Fleet Server

Studio is for one developer on this machine: it needs no log-in and devices of this machine appear by
themselves. Fleet is for a deployment: people log in, devices wait to be accepted. Every option can also be
given as an environment variable KOS_SERVER_NAME.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from kos.abi.session import BUS_PORT, GATEWAY_PORT, HTTP_PORT, MQTT_PORT

SECTION = "Servers"


@click.command(help=__doc__)
@click.option("--fleet", is_flag=True, help="The Fleet Server.")
@click.option("--host", help="Address for browsers and downloads.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help=f"Its port; 0 is any.  [default: {HTTP_PORT}]")
@click.option("--bus-host", help="Address for devices.  [default: 127.0.0.1]")
@click.option("--bus-port", type=click.IntRange(0, 65535), help=f"Port for devices.  [default: {BUS_PORT}]")
@click.option(
    "--mqtt-port",
    type=click.IntRange(-1, 65535),
    help=f"Port for MQTT; -1 turns it off.  [default: {MQTT_PORT}]",
)
@click.option("--gateway", is_flag=True, default=None, help="Run the gateway of the devices' tunnels too.")
@click.option(
    "--gateway-port", type=click.IntRange(0, 65535), help=f"Its UDP port.  [default: {GATEWAY_PORT}]"
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where it keeps its data.  [default: ~/.local/state/kos/studio or fleet]",
)
@click.option("--database", help="postgresql://… instead of SQLite in the data folder.")
@click.option("--bus-url", help="nats://… of a bus that runs already, comma-separated.")
@click.option("--log-json", is_flag=True, help="Log JSON, one object a line.")
@click.option("-v", "--verbose", is_flag=True, help="Log each request.")
def command(fleet: bool, log_json: bool, verbose: bool, **options: object) -> int:
    from kos.server.main import serve
    from kos.server.settings import FLEET, from_environment

    settings = from_environment(os.environ, product=FLEET if fleet else None, **options)
    return serve(settings, log_json=log_json, verbose=verbose)
