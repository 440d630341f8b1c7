"""Make an overlay of the difference between two builds"""

from __future__ import annotations

from pathlib import Path

import click

from kos.tool import options, output

SECTION = "Build"

ARCHIVE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("release", type=ARCHIVE, metavar="RELEASE.ZIP")
@click.argument("changed", type=ARCHIVE, metavar="CHANGED.ZIP")
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("overlay.zip"),
    show_default=True,
    help="The overlay to write.",
)
@click.option(
    "--key",
    "keys",
    type=ARCHIVE,
    multiple=True,
    help="File of a private key to sign with, NAME.key of `keys.generate --signing NAME`; repeatable.",
)
@options.JSON
def command(release: Path, changed: Path, target: Path, keys: tuple[Path, ...], as_json: bool) -> None:
    """Write what CHANGED.ZIP has other than RELEASE.ZIP as an overlay: settings, environment, apps.

    Both are a manifest.zip of one system. Lay the overlay over the release on some devices to try it:
    `server.upload_overlay`, then `server.active_overlay`.
    """
    import tempfile

    from kos.abi.errors import KosError
    from kos.build import files, overlay_zip
    from kos.build.manifest_zip import ManifestZip
    from kos.manifest import overlay
    from kos.tool.signing import sign_with

    files.check_place(target)
    with (
        ManifestZip(release) as old,
        ManifestZip(changed) as new,
        tempfile.TemporaryDirectory(dir=target.parent) as folder,
    ):
        document = overlay.difference(old.manifest, new.manifest)
        if not document:
            raise KosError("there is no difference", where=str(changed))
        blobs = {}
        for sha256 in overlay.blobs_of(document):
            blobs[sha256] = Path(folder, sha256)
            with blobs[sha256].open("wb") as file:
                new.copy_blob(sha256, file)
        signatures = sign_with(keys, overlay.canonical(document), overlay.CONTEXT)
        overlay_zip.write(target, document, blobs, signatures)
    if as_json:
        output.result_json({"path": str(target), "document": document, "signatures": sorted(signatures)})
    else:
        apps = ", ".join(sorted(document.get("apps", {})))
        output.result(f"{target}: {apps or 'ports only'}")
