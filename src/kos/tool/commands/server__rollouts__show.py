"""Show how far a rollout is"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("rollout", type=int)
@SERVER
@options.JSON
def command(rollout: int, url: str | None, as_json: bool) -> None:
    """Show ROLLOUT: its state, and each device that failed with the device's own reason."""
    client = ServerClient(url)
    found = client.get(f"/rollouts/{rollout}")
    devices = client.get(f"/rollouts/{rollout}/devices", limit=500)
    if as_json:
        output.result_json({**found, "devices": devices})
        return
    phases = len(found["plan"]["phases"])
    output.result(
        f"{found['name']}: {found['state']}, phase {found['phase'] + 1} of {phases} {found['reason']}"
    )
    output.result(", ".join(f"{number} {state}" for state, number in sorted(found["counts"].items())))
    rows = [[one["name"], one["phase"] + 1, one["state"], one["reason"]] for one in devices if one["reason"]]
    if rows:
        output.result(output.table(["device", "phase", "state", "reason"], rows))
