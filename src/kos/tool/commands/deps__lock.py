"""Lock the dependencies of a project's Python apps for every machine"""

from __future__ import annotations

from pathlib import Path

import click

from kos.abi.errors import KosError
from kos.tool import options, output

SECTION = "Build"


@click.command()
@options.PROJECT
def command(project: Path) -> int:
    """Write the kos.lock of each Python app of a project for every machine that it may be built for.

    A build locks for its own target when it must; this does it for all, so that nobody else's build changes
    the file. Commit the kos.lock files with the project; remove one to take the newest versions. The exit
    code is 1 where a machine has no wheels.
    """
    from kos.build import wheels
    from kos.build.python_app import PythonApp
    from kos.build.target import every_target
    from kos.manifest import PythonImage
    from kos.manifest.load import load_project

    loaded = load_project(project)
    images = [app.image for app in loaded.manifest().apps.values() if isinstance(app.image, PythonImage)]
    failed = 0
    for path in sorted({loaded.root / image.path for image in images}):
        for target in every_target():
            try:
                app = PythonApp.load(path, target)
                found = wheels.locked(path, app.requires, target)
            except KosError as error:
                output.error(error)
                failed = 1
            else:
                output.result(f"{path.relative_to(loaded.root)} {wheels.key(target)}: {len(found)} packages")
    return failed
