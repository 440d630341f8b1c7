"""Export time series as CSV, line protocol, Parquet or JSON lines"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import click

from kos.abi.errors import KosError
from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"


@click.command()
@click.argument("query", required=False, default="", metavar="[QUERY]")
@click.option(
    "--form",
    type=click.Choice(["csv", "lines", "parquet"]),
    default="csv",
    show_default=True,
    help="How it is written.",
)
@click.option("-o", "--output", "target", type=click.Path(path_type=Path, dir_okay=False), help="A file.")
@click.option("--begin", type=int, help="Milliseconds since 1970.")
@click.option("--end", type=int, help="Milliseconds since 1970.")
@SERVER
@options.JSON
def command(
    query: str,
    form: str,
    target: Path | None,
    begin: int | None,
    end: int | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Print the points of the devices that match QUERY, or write them into a file."""
    client = ServerClient(url)
    asked = {"devices": query, "form": "csv" if as_json else form, "begin": begin, "end": end}
    if as_json:
        rows = csv.DictReader(client.lines("/export", **asked))
        for row in rows:
            point = {**row, "time_ms": int(row["time_ms"]), "value": float(row["value"])}
            output.result(json.dumps(point))
        return
    if target is not None:
        from kos.build import files

        with files.atomic_file(target) as file:
            client.save("/export", file, **asked)
        output.result(str(target))
        return
    if form == "parquet":
        raise KosError("Parquet is no text", hint="-o FILE")
    for line in client.lines("/export", **asked):
        output.result(line)
