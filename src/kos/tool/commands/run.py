"""Run a system in the simulator or on hardware"""

from __future__ import annotations

from pathlib import Path

import click

from kos.tool import options

SECTION = "Run"


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True), default=".", metavar="[SOURCE]")
@options.PLATFORM
@options.LOCKED
@options.NAME
@options.KEYS
@options.SERIAL
@options.FASTBOOT
def command(
    source: Path,
    platform: str,
    locked: bool,
    name: str | None,
    keys: Path | None,
    serial: Path | None,
    fastboot: str | None,
) -> int:
    """Build and run a system, with its console on standard output, until Ctrl-C.

    SOURCE is a system project or a manifest.zip. On the platform `host` the apps run isolated on this
    machine, on `qemu-arm-virt` in QEMU; to a board the image is sent by its U-Boot's fastboot and nothing is
    written to its storage.
    """
    from kos.tool.request import RunRequest
    from kos.tool.runners import runner

    return runner(platform).run(RunRequest(source, platform, name, keys, locked, serial, fastboot))
