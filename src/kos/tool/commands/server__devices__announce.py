"""Announce keys of devices from a CSV file"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import click

from kos.abi import nkey
from kos.abi.bounded import read_bounded
from kos.abi.errors import KosError
from kos.tool import options, output
from kos.tool.server_client import SERVER, ServerClient

SECTION = "Servers"
FILE_MAX = 16 << 20  # bytes of the list: more keys than one request may bring


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@SERVER
@options.JSON
def command(file: Path, url: str | None, as_json: bool) -> None:
    """Announce the keys in FILE, so that their devices are accepted as soon as they show up.

    FILE is CSV with the columns `public_key` (hexadecimal, or as the server shows it), `name` and `tags`
    (separated by spaces). With `tunnel_key` (hexadecimal or base64) a device may use the server's gateway,
    from the addresses in `network`, or from free ones, which are printed.
    """
    rows = _rows(file)
    if not rows:
        raise KosError("names no key", where=str(file), hint="its first line is public_key,name,tags")
    keys = [
        {
            "public_key": _key(row, file),
            "name": row.get("name") or "",
            "tags": (row.get("tags") or "").split(),
            "tunnel_key": (row.get("tunnel_key") or "").strip(),
            "network": (row.get("network") or "").strip(),
        }
        for row in rows
    ]
    answer = ServerClient(url).post("/keys", {"keys": keys})
    if as_json:
        output.result_json(answer)
    else:
        output.result(f"{answer['announced']} keys announced")
        rows_of_tunnels = [(one["device"], one["name"], one["network"]) for one in answer["tunnels"]]
        if rows_of_tunnels:
            output.result(output.table(["device", "name", "network"], rows_of_tunnels))


def _rows(file: Path) -> list[dict[str, str]]:
    data = read_bounded(file, FILE_MAX)
    try:
        return list(csv.DictReader(data.decode().splitlines(), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise KosError(
            f"is not a CSV file: {error}", where=str(file), hint="its first line is public_key,name,tags"
        ) from None


def _key(row: dict[str, str], file: Path) -> str:
    text = (row.get("public_key") or "").strip()
    if not text:
        raise KosError(
            "a row has no public_key", where=str(file), hint="its first line is public_key,name,tags"
        )
    return nkey.encode(bytes.fromhex(text)) if re.fullmatch("[0-9a-f]{64}", text) else text
