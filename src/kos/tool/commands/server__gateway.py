"""Run the server's end of the devices' tunnels.

Prints one JSON object a line: the first says the public key and the port that devices need (`ready`), later
ones what changed. SIGUSR1 asks for a `status` line. Runs as root or, with /dev/net/tun open to you, as
anybody.
"""

from __future__ import annotations

import json
from ipaddress import AddressValueError, IPv4Interface, NetmaskValueError
from pathlib import Path

import click

from kos.abi.errors import KosError
from kos.server.gateway.settings import ADDRESS, LISTEN_PORT, MTU_DEFAULT, GatewaySettings, parse_service
from kos.tool import output

SECTION = "Servers"


def _address(text: str) -> IPv4Interface:
    try:
        return IPv4Interface(text)
    except (AddressValueError, NetmaskValueError):
        raise KosError(f"expected ADDRESS/BITS, found {text!r}", hint=f"for example {ADDRESS}") from None


@click.command(help=__doc__)
@click.option(
    "--devices",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help='JSON file of devices: {"NAME": {"public_key": …, "addresses": ["10.90.1.2/32"]}}. Followed.',
)
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File of the gateway's private key; made if there is none.",
)
@click.option(
    "--address", default=str(ADDRESS), show_default=True, help="The gateway's address in the tunnel."
)
@click.option("--port", default=LISTEN_PORT, show_default=True, help="UDP port for devices.")
@click.option(
    "--service",
    "services",
    multiple=True,
    metavar="NAME=PORT[:HOST:PORT]",
    help="A TCP port that devices may reach, and where it leads (repeatable).",
)
@click.option("--mtu", default=MTU_DEFAULT, show_default=True, help="Bytes of a packet in the tunnel.")
def command(devices: Path, key: Path, address: str, port: int, services: tuple[str, ...], mtu: int) -> None:
    # Imported late: `--help` and a wrong option should not wait for it.
    from kos.server.gateway.service import run_gateway

    settings = GatewaySettings(
        address=_address(address),
        listen_port=port,
        services=tuple(parse_service(text) for text in services),
        mtu=mtu,
    )
    run_gateway(settings, key, devices, lambda event: output.result(json.dumps(event)))
