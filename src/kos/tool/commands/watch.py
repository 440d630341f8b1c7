"""Run a system, and rebuild and relaunch it whenever its sources change"""

from __future__ import annotations

from pathlib import Path

import click

from kos.tool import options

SECTION = "Run"


@click.command()
@options.PROJECT
@options.PLATFORM
@options.LOCKED
@options.NAME
@options.KEYS
def command(project: Path, platform: str, locked: bool, name: str | None, keys: Path | None) -> int:
    """Run a system, and rebuild and relaunch whenever a source of the project changes, until Ctrl-C.

    Only what changed is rebuilt, and apps that did not change go on running. While the sources do not build,
    the system runs on as it was.
    """
    from kos.tool.request import RunRequest
    from kos.tool.watcher import watch

    return watch(RunRequest(project, platform, name, keys, locked))
