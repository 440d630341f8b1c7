"""Build a system into a manifest.zip"""

from __future__ import annotations

from pathlib import Path

import click

from kos.tool import options, output

SECTION = "Build"


@click.command()
@options.PROJECT
@options.PLATFORM
@options.LOCKED
@click.option(
    "--with-system",
    is_flag=True,
    help="Put in the platform's kernel and root file system too, so that an upgrade replaces those.",
)
@options.JSON
@click.option(
    "-o",
    "--output",
    "destination",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it.  [default: PROJECT/build/PLATFORM/manifest.zip]",
)
def command(
    project: Path,
    platform: str,
    locked: bool,
    with_system: bool,
    as_json: bool,
    destination: Path | None,
) -> None:
    """Build a system into a manifest.zip and print its path.

    PROJECT is a directory with a system.py. Every app whose inputs changed is built; the others come from the
    cache. The same project gives the same bytes on every machine.
    """
    from kos.build import files
    from kos.build.system import Builder
    from kos.manifest.load import load_project

    loaded = load_project(project)
    if destination:
        files.check_place(destination)
    built = Builder(loaded, platform, may_lock=not locked, say=output.step).build()
    if with_system:
        from kos.build.image import system
        from kos.build.sdk import install
        from kos.manifest import PlatformSpec
        from kos.platforms import board

        facts = board(PlatformSpec.parse(platform))
        made = system.build(facts, install.current(), built.manifest.options)
        built = built.with_parts({"bootfs": made.bootfs, "root": made.root})
    path = destination or loaded.root / "build" / built.manifest.platform.replace(",", "-") / "manifest.zip"
    built.write(path)
    if as_json:
        apps = {
            name: {"sha256": getattr(app.image, "sha256", None), "made": name in built.made}
            for name, app in built.manifest.apps.items()
        }
        output.result_json({"path": str(path), "platform": built.manifest.platform, "apps": apps})
    else:
        output.result(str(path))
