"""Make the key pairs of a device, or a pair for signing."""

from __future__ import annotations

import base64
from pathlib import Path

import click

from kos.tool import options, output

SECTION = "Devices"


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--signing", metavar="NAME", help="Make one Ed25519 pair of that name for signing releases.")
@options.JSON
def command(directory: Path, signing: str | None, as_json: bool) -> None:
    """Make the key pairs of one device in DIRECTORY and print the public keys.

    A device has two pairs: `tunnel` (X25519) and `server` (Ed25519). Private keys are written with mode 0600
    and never printed. An existing key is never overwritten.
    """
    from kos.keys import pairs

    wanted = [(signing, "ed25519")] if signing is not None else sorted(pairs.DEVICE_KEYS.items())
    public = pairs.generate(directory, wanted)
    # A trusted.json and a server's list of trusted keys hold hexadecimal digits.
    write = bytes.hex if signing is not None else lambda key: base64.b64encode(key).decode()
    texts = {name: write(key) for name, key in public.items()}
    if as_json:
        output.result_json({name: {"public": text} for name, text in texts.items()})
    else:
        output.result(output.table(["key", "public"], list(texts.items())))
    output.say(f"private keys are in {directory}, readable only by you")
