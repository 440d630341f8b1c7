"""Upload an overlay to a server"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from kos.abi.bounded import read_bounded
from kos.abi.errors import KosError
from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"

DOCUMENT_MAX = 1 << 20  # bytes
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("document", type=FILE)
@click.option("--name", help="How it is called.  [default: the file's name]")
@click.option(
    "--key",
    "keys",
    type=FILE,
    multiple=True,
    help="Sign a JSON document with this private key; an overlay.zip carries its signatures.",
)
@SERVER
@options.JSON
def command(document: Path, name: str | None, keys: tuple[Path, ...], url: str | None, as_json: bool) -> None:
    """Upload an overlay: an overlay.zip of `kos-tool overlay`, or a JSON DOCUMENT that brings no app.

    The document has `apps` (of each: environ, config, arguments), `ports` and `settings` (of the device).
    """
    client = ServerClient(url)
    title = name or document.stem
    if document.suffix == ".zip":
        found = client.upload("/overlays/archive", document, name=title)
    else:
        found = client.post("/overlays", {"name": title, **_read(document, keys)})
    if as_json:
        output.result_json(found)
    else:
        output.result(f"overlay {found['id']}: {found['name']} {found['sha256'][:12]}")


def _read(path: Path, keys: tuple[Path, ...]) -> dict[str, Any]:
    try:
        document = json.loads(read_bounded(path, DOCUMENT_MAX))
    except (ValueError, RecursionError) as error:
        raise KosError(f"not JSON: {error}", where=str(path)) from error
    if not keys:
        return {"document": document}
    from kos.manifest import overlay
    from kos.tool.signing import sign_with

    signatures = sign_with(keys, overlay.canonical(document), overlay.CONTEXT)
    return {
        "document": document,
        "signatures": [{"name": one, "document": json.loads(text)} for one, text in signatures.items()],
    }
