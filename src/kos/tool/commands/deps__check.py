"""Say which Debian packages are missing, and install them if asked."""

from __future__ import annotations

import click

from kos.tool import completion, options, output, packages

SECTION = "Set-up"


@click.command()
@click.argument("groups", nargs=-1, shell_complete=completion.groups)
@click.option("--install", is_flag=True, help="Install what is missing, after asking.")
@options.JSON
def command(groups: tuple[str, ...], install: bool, as_json: bool) -> int:
    """Say which Debian packages of GROUPS are missing; without GROUPS, of all.

    The exit code is 1 while one is missing.
    """
    needed = packages.of_groups(groups)
    missing = packages.missing(needed)
    if install and missing:
        packages.install(sorted({package.group for package in missing}))
        missing = packages.missing(needed)
    rows = [(p.name, p.group, "missing" if p in missing else "installed", p.why) for p in needed]
    if as_json:
        keys = ("name", "group", "state", "why")
        output.result_json([dict(zip(keys, row, strict=True)) for row in rows])
    else:
        output.result(output.table(["package", "group", "state", "why"], rows))
    if missing:
        groups_missing = " ".join(sorted({package.group for package in missing}))
        output.say(f"to install: kos-tool deps.check --install {groups_missing}")
    return 1 if missing else 0
