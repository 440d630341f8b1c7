"""Start a rollout"""

from __future__ import annotations

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("release")
@click.option("--target", default="*", show_default=True, help="Devices that match this query.")
@click.option("--name", help="How it is called.  [default: the release]")
@click.option(
    "--phase",
    "phases",
    multiple=True,
    help='A phase: "10%" or a number (repeatable).  [default: 10% 50% 100%]',
)
@click.option("--parallel", default=0, help="Devices under way at one time; 0 is no limit.")
@click.option("--max-failures", type=int, help="Failed devices at which it stops.")
@click.option(
    "--max-failure-rate", type=float, default=0.1, show_default=True, help="Share at which it stops."
)
@click.option(
    "--timeout", default=3600.0, show_default=True, help="Seconds until a silent device has failed."
)
@click.option("--soak", default=0.0, help="Seconds between phases.")
@click.option("--approval", is_flag=True, help="A second person must approve.")
@click.option("--priority", default=0, help="Before rollouts of lower priority.")
@SERVER
@options.JSON
def command(
    release: str,
    target: str,
    name: str | None,
    phases: tuple[str, ...],
    parallel: int,
    max_failures: int | None,
    max_failure_rate: float,
    timeout: float,
    soak: float,
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
        "approval": approval,
    }
    title = name or f"{wanted['system']} {wanted['version']}"
    body = {"name": title, "release_id": wanted["id"], "target": target, "priority": priority, "plan": plan}
    found = client.post("/rollouts", body)
    if as_json:
        output.result_json(found)
    else:
        output.result(f"rollout {found['id']}: {found['state']}")
