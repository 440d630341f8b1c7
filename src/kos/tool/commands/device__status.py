"""Show a device's generations: what runs, what ran, why one failed"""

from __future__ import annotations

import click

from kos.tool import options, output, runs

SECTION = "Devices"


@click.command()
@options.SYSTEM
@options.JSON
def command(system: str | None, as_json: bool) -> None:
    """Show what a running SYSTEM runs and which generations it keeps, over the channel that upgrades come by.

    A generation that failed says why, also after a restart: it is kept until it is collected.
    """
    from kos.device.upgrade.local import connect

    with connect(runs.find(system)) as client:
        facts = client.hello()
    facts = {name: value for name, value in facts.items() if name not in ("ok", "id")}
    if as_json:
        output.result_json(facts)
        return
    slot = f", slot {facts['slot']}" if facts["slot"] else ""
    output.result(
        f"{facts['system']} {facts['release']} on {facts['platform']}: "
        f"generation {facts['generation']}, {facts['state']}{slot}"
    )
    rows = [
        (
            "→" if one["number"] == facts["generation"] else "",
            one["number"],
            one["release"],
            one["state"],
            one["reason"],
        )
        for one in facts["generations"]
    ]
    output.result(output.table(["", "generation", "release", "state", "reason"], rows))
