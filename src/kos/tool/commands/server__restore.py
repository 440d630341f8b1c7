"""Restore a server's data from a backup"""

from __future__ import annotations

from pathlib import Path

import click

from kos.tool import output

SECTION = "Servers"


@click.command()
@click.argument("archive", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), required=True, help="An empty or new folder."
)
def command(archive: Path, data: Path) -> None:
    """Unpack ARCHIVE into a data folder; start the server with the same --data afterwards."""
    from kos.server.backup import restore

    restore(archive, data)
    output.result(str(data))
