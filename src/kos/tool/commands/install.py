"""Install an SDK version: what targets need from Debian"""

from __future__ import annotations

from pathlib import Path

import click

from kos.tool import completion, options, output

SECTION = "Start"


@click.command()
@click.argument("version", required=False)
@click.option(
    "-p",
    "--platform",
    "platforms",
    multiple=True,
    default=("qemu-arm-virt",),
    show_default=True,
    shell_complete=completion.platforms,
    help="Platform spec to bring the packages of; more than one may be given.",
)
@click.option(
    "--lock",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Bring exactly these packages.",
)
@click.option("--default", "as_default", is_flag=True, help="Use this version from now on.")
@click.option("--list", "as_list", is_flag=True, help="Name the versions that are here, and install nothing.")
@options.JSON
def command(
    version: str | None,
    platforms: tuple[str, ...],
    lock: Path | None,
    as_default: bool,
    as_list: bool,
    as_json: bool,
) -> None:
    """Install SDK VERSION into $KOS_HOME (~/.kos) and print where it is.

    A version is what Debian had when it was installed, under a name of yours such as 1.1.0; without VERSION
    it has the name of this release of KOS.

    Debian packages of each platform's processor are resolved by apt from the mirrors that this machine uses,
    checked by Debian's signatures, and recorded in sdk.lock.json and sbom.cdx.json. What is there already is
    not brought again; after an interruption the same command goes on. Versions lie side by side; the first
    one is the default.
    """
    from kos.build.sdk import home, install
    from kos.manifest import PlatformSpec
    from kos.platforms import board

    if as_list:
        used = home.default_link().resolve().name
        rows = [(one, "default" if one == used else "") for one in home.installed()]
        if as_json:
            output.result_json([{"version": one, "default": bool(default)} for one, default in rows])
        elif rows:
            output.result(output.table(["version", ""], rows))
        else:
            output.say(f"no version is in {home.kos_home()}; kos-tool install brings one")
        return
    wanted = []
    for text in platforms:
        facts = board(PlatformSpec.parse(text))
        wanted += install.wanted_for(facts.sets, facts.arch)
    version = install.CURRENT if version is None else version
    sdk = install.install(version, wanted, output.step, lock)
    if as_default:
        install.make_default(version)
    if as_json:
        sets = {name: len(packages) for name, packages in sdk.lock().sets.items()}
        output.result_json({"version": version, "path": str(sdk.path), "sets": sets})
    else:
        output.result(str(sdk.path))
