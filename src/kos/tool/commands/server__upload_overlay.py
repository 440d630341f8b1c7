"""Upload an overlay to a server"""

from __future__ import annotations

import json
from pathlib import Path

import click

from kos.abi.errors import KosError
from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("document", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--name", help="How it is called.  [default: the file's name]")
@SERVER
@options.JSON
def command(document: Path, name: str | None, url: str | None, as_json: bool) -> None:
    """Upload an overlay: a JSON DOCUMENT with `apps` (environ, config, arguments) and `settings`."""
    try:
        body = json.loads(document.read_bytes())
    except ValueError as error:
        raise KosError(f"not JSON: {error}", where=str(document)) from error
    found = ServerClient(url).post("/overlays", {"name": name or document.stem, "document": body})
    if as_json:
        output.result_json(found)
    else:
        output.result(f"overlay {found['id']}: {found['name']} {found['sha256'][:12]}")
