"""Upload a signed manifest.zip to a server"""

from __future__ import annotations

from pathlib import Path

import click

from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("archive", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@SERVER
@options.JSON
def command(archive: Path, url: str | None, as_json: bool) -> None:
    """Upload the release ARCHIVE, a manifest.zip. The server verifies all of it before it keeps any of it."""
    found = ServerClient(url).upload("/releases", archive)
    if as_json:
        output.result_json(found)
        return
    output.result(f"release {found['id']}: {found['system']} {found['version']} for {found['platform']}")
    findings = found["assurance"].get("findings", [])
    output.say(f"signed by {len(found['signers'])} keys, {len(findings)} assurance findings")
