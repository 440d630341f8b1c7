"""Show the apps of a running system"""

from __future__ import annotations

from typing import Any

import click

from kos.tool import options, output, runs

SECTION = "Run"


@click.command()
@options.SYSTEM
@options.JSON
def command(system: str | None, as_json: bool) -> None:
    """Show a running system: each app's state, restarts, memory, traffic and connections.

    `KiB out` and `KiB in` went through the tunnel; `refused` counts packets and system calls.
    """
    with runs.connect(system) as client:
        status = client.status()
    if as_json:
        status.pop("ok")
        output.result_json(status)
        return
    output.result(f"{status['name']} {status['release']}: {status['state']}, {status['uptime']:.0f} s")
    rows = [_row(name, entry) for name, entry in sorted((status["msg_servers"] | status["apps"]).items())]
    headings = ["app", "state", "ready", "restarts", "memory KiB", "KiB out", "KiB in", "refused", "pid"]
    headings.append("connected to")
    output.result(output.table(headings, rows))
    if status["post_mortems"]:
        output.say(f"{status['post_mortems']} times an app ended badly: kos-tool post_mortem says why")


def _row(name: str, entry: dict[str, Any]) -> list[object]:
    connected = sorted({app for of in entry.get("messages", {}).values() for app in of["connections"]})
    ready = "yes" if entry["ready"] else "no"
    memory = entry["memory"] // 1024
    network = entry.get("network", {})
    traffic = [network[way][1] // 1024 if network else "" for way in ("sent", "received")]
    refused = sum(packets for reason, (packets, _) in network.items() if reason not in ("sent", "received"))
    refused += entry["violations"]
    row = [name, entry["state"], ready, entry["restarts"], memory, *traffic, refused, entry["pid"]]
    return [*row, ", ".join(connected)]
