"""Upgrade a running device over its local channel"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kos.tool import options, output

SECTION = "Devices"


@click.command()
@click.argument(
    "archive", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="MANIFEST.ZIP"
)
@options.SYSTEM
@click.option("--collect", is_flag=True, help="Afterwards have the device remove what no generation needs.")
@options.JSON
def command(archive: Path, system: str | None, collect: bool, as_json: bool) -> int:
    """Bring a running SYSTEM to what MANIFEST.ZIP holds, and print what became of it.

    Only what the device lacks is sent. Apps that did not change run on. The device itself confirms the new
    generation when it is healthy, and goes back to the old one when it is not; exit code 1 says so.
    """
    import tempfile

    from kos.build.manifest_zip import ManifestZip
    from kos.device.upgrade.client import push
    from kos.device.upgrade.local import connect
    from kos.tool import runs

    events: list[dict[str, Any]] = []

    def tell(event: dict[str, Any]) -> None:
        events.append(event)
        details = ", ".join(f"{key} {value}" for key, value in event.items() if key != "event")
        output.step(f"{event['event']}: {details}")

    with (
        ManifestZip(archive) as opened,
        tempfile.TemporaryDirectory() as folder,
        connect(runs.find(system)) as client,
    ):

        def blob(sha256: str) -> Path:
            path = Path(folder, sha256)
            with path.open("wb") as file:
                opened.copy_blob(sha256, file)
            return path

        sent = push(client, opened.manifest_bytes, opened.signatures, blob, tell)
        removed = client.collect() if collect else []
    names = [event["event"] for event in events]
    outcome = next((name for name in ("healthy", "reverted", "failed") if name in names), "restarting")
    if as_json:
        output.result_json(
            {
                "outcome": outcome,
                "blobs": sent.blobs,
                "bytes": sent.bytes,
                "events": events,
                "removed": removed,
            }
        )
    else:
        output.result(f"{outcome}: {sent.blobs} blobs, {sent.bytes} bytes sent")
    return 1 if outcome in ("reverted", "failed") else 0
