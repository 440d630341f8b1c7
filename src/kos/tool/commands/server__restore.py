"""Restore a server's data from a backup"""

from __future__ import annotations

from pathlib import Path

import click

from kos.tool import options, output
from kos.tool.server_client import DATABASE

SECTION = "Servers"


@click.command()
@click.argument("archive", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), required=True, help="An empty or new folder."
)
@DATABASE
@options.JSON
def command(archive: Path, data: Path, database: str, as_json: bool) -> None:
    """Unpack ARCHIVE into a data folder; start the server with the same --data and --database afterwards."""
    from kos.server.backup import restore

    restore(archive, data, database)
    if as_json:
        output.result_json({"data": str(data)})
    else:
        output.result(str(data))
