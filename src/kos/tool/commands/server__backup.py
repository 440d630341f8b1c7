"""Back a server's data up into one file"""

from __future__ import annotations

from pathlib import Path

import click

from kos.tool import options, output
from kos.tool.server_client import DATABASE

SECTION = "Servers"


@click.command()
@click.argument("archive", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--fleet", is_flag=True, help="The Fleet Server's data, where --data does not say which.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="The server's data folder.  [default: where server.start has it]",
)
@DATABASE
@options.JSON
def command(archive: Path, fleet: bool, data: Path | None, database: str, as_json: bool) -> None:
    """Write database, keys and artifacts into ARCHIVE, which is as secret as the server itself.

    The server may run meanwhile.
    """
    from kos.server.backup import backup
    from kos.server.settings import default_data

    backup(data or default_data("fleet" if fleet else "studio"), archive, database)
    if as_json:
        output.result_json({"archive": str(archive), "bytes": archive.stat().st_size})
    else:
        output.result(str(archive))
