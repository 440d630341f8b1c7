"""Pack KOS with all its packages for a machine without a network"""

from __future__ import annotations

from pathlib import Path

import click

from kos.tool import options, output

SECTION = "Servers"


@click.command()
@click.argument("archive", type=click.Path(path_type=Path, dir_okay=False), required=False)
@options.JSON
def command(archive: Path | None, as_json: bool) -> None:
    """Write ARCHIVE: unpack it elsewhere and `./kos-tool server.start` sets itself up from it, with no fetch.

    The other machine needs this processor, this version of Python and the Debian packages of `deps.check`.
    """
    import os

    from kos.tool import bundle

    target = archive or Path(bundle.default_name())
    root = Path(os.environ.get("KOS_ROOT") or Path(__file__).resolve().parents[4])
    count = bundle.bundle(root, target.absolute())
    if as_json:
        output.result_json({"archive": str(target), "packages": count, "bytes": target.stat().st_size})
    else:
        output.result(f"{target}: {count} packages, {target.stat().st_size >> 20} MiB")
