"""Sign a manifest.zip"""

from __future__ import annotations

from pathlib import Path

import click

from kos.tool import output

SECTION = "Build"


@click.command()
@click.argument(
    "archive", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="MANIFEST.ZIP"
)
@click.option(
    "--key",
    "keys",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    required=True,
    help="File of a private key, NAME.key of `keys.generate --signing NAME`; more than one may be given.",
)
def command(archive: Path, keys: tuple[Path, ...]) -> None:
    """Add signatures to MANIFEST.ZIP in place, one for each key, and print who has signed it now.

    The signatures that it carries already stay: several people sign one after the other, for devices that
    want more than one.
    """
    import tempfile

    from kos.build.manifest_zip import ManifestZip, write
    from kos.keys import signing
    from kos.tool.signing import sign_with

    with ManifestZip(archive) as opened, tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        signatures = {**opened.signatures, **sign_with(keys, opened.manifest_bytes)}
        blobs = {}
        for sha256 in opened.blobs:
            blobs[sha256] = Path(folder, sha256)
            with blobs[sha256].open("wb") as file:
                opened.copy_blob(sha256, file)
        write(archive, opened.manifest, blobs, signatures)
        rows = [
            (name, signing.verify(text, opened.manifest_bytes)) for name, text in sorted(signatures.items())
        ]
    output.result(output.table(["signature", "key"], rows))
