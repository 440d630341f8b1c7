"""Start a rollout"""

from __future__ import annotations

import re
from typing import Any

import click

from kos.abi.errors import KosError
from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("release")
@click.option(
    "--also",
    multiple=True,
    metavar="RELEASE",
    help="The same system for devices of another platform (repeatable).",
)
@click.option("--target", default="*", show_default=True, help="Devices that match this query.")
@click.option("--name", help="How it is called.  [default: the release]")
@click.option(
    "--phase",
    "phases",
    multiple=True,
    help='A phase: "10%" or a number (repeatable).  [default: 10% 50% 100%]',
)
@click.option("--parallel", default=0, help="Devices under way at one time.  [default: no limit]")
@click.option("--max-failures", type=int, help="Failed devices at which it stops.  [default: no limit]")
@click.option(
    "--max-failure-rate",
    type=float,
    default=0.1,
    show_default=True,
    help="Share of failed devices at which it stops.",
)
@click.option(
    "--timeout", default=3600.0, show_default=True, help="Seconds until a silent device has failed."
)
@click.option("--soak", default=0.0, show_default=True, help="Seconds between phases.")
@click.option(
    "--window",
    metavar="HH:MM-HH:MM",
    help="Offer only at this time of the day (UTC).  [default: always]",
)
@click.option("--no-late-joiners", is_flag=True, help="Devices that begin to match later stay out.")
@click.option(
    "--standing", is_flag=True, help="Devices that begin to match after its end get the release too."
)
@click.option("--group", help="Only devices of this group, by number or name.")
@click.option("--approval", is_flag=True, help="A second person must approve.")
@click.option("--priority", default=0, show_default=True, help="It goes before rollouts of lower priority.")
@SERVER
@options.JSON
def command(
    release: str,
    also: tuple[str, ...],
    target: str,
    name: str | None,
    phases: tuple[str, ...],
    parallel: int,
    max_failures: int | None,
    max_failure_rate: float,
    timeout: float,
    soak: float,
    window: str | None,
    no_late_joiners: bool,
    standing: bool,
    group: str | None,
    approval: bool,
    priority: int,
    url: str | None,
    as_json: bool,
) -> None:
    """Bring RELEASE (number, digest or version) to many devices, a few at first."""
    client = ServerClient(url)
    wanted = client.release(release)
    plan = {
        "phases": list(phases) or ["10%", "50%", "100%"],
        "parallel": parallel,
        "max_failures": max_failures,
        "max_failure_rate": max_failure_rate,
        "device_timeout": timeout,
        "soak": soak,
        "window": _window(window),
        "late_joiners": not no_late_joiners,
        "standing": standing,
        "approval": approval,
    }
    title = name or f"{wanted['system']} {wanted['version']}"
    body: dict[str, Any] = {
        "name": title,
        "release_id": wanted["id"],
        "target": target,
        "priority": priority,
        "plan": plan,
    }
    body["variants"] = [client.release(one)["id"] for one in also]
    if group:
        body["group_id"] = _group(client, group)
    found = client.post("/rollouts", body)
    if as_json:
        output.result_json(found)
    else:
        output.result(f"rollout {found['id']}: {found['state']}")


def _window(text: str | None) -> list[int] | None:
    """Minutes of the day of `22:00-04:30`. Raises KosError."""
    if text is None:
        return None
    found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)", text)
    if found is None:
        raise KosError(f"not a window: {text!r}", hint="such as 22:00-04:30, in UTC")
    begin, begin_minute, end, end_minute = map(int, found.groups())
    return [begin * 60 + begin_minute, min(end * 60 + end_minute, 24 * 60)]


def _group(client: ServerClient, name: str) -> int:
    for one in client.get("/groups"):
        if name in (str(one["id"]), one["name"]):
            return int(one["id"])
    raise KosError(f"no group called {name!r}", hint="kos-tool server.groups.list shows all")
