"""Start a development shell with the SDK's environment"""

from __future__ import annotations

import os
import subprocess

import click

from kos.tool import completion, options, output

SECTION = "Start"


@click.command()
@click.option(
    "-p",
    "--platform",
    default="host",
    show_default=True,
    shell_complete=completion.platforms,
    help="Platform spec to develop for.",
)
@click.option(
    "--print", "only_print", is_flag=True, help="Print the variables for a shell to read, start none."
)
@options.JSON
def command(platform: str, only_print: bool, as_json: bool) -> int:
    """Start $SHELL with what C apps are built with: KOS_CC, KOS_RUNTIME_PATH, KOS_BUILTINS_PATH and others.

    `eval "$(kos-tool shell --print)"` sets them in the shell that is there.
    """
    import shlex

    from kos.build import native
    from kos.build.sdk import home
    from kos.build.target import target
    from kos.build.toolchain import Toolchain
    from kos.manifest import PlatformSpec

    spec = PlatformSpec.parse(platform)
    wanted = target(spec.arch)
    tools, sdk = Toolchain(wanted), native.sdk(wanted.name)
    variables = {
        "KOS_CC": str(tools.cc),
        "KOS_AR": str(tools.ar),
        "KOS_RUNTIME_PATH": str(sdk),
        "KOS_BUILTINS_PATH": str(sdk),
        "KOS_TARGET": wanted.name,
        "KOS_PLATFORM": str(spec),
        "KOS_HOME": str(home.kos_home()),
        "CMAKE_PREFIX_PATH": str(sdk),
        "CMAKE_TOOLCHAIN_FILE": str(sdk / "share/toolchain.cmake"),
    }
    if as_json:
        output.result_json(variables)
        return 0
    if only_print:
        for name, value in variables.items():
            output.result(f"export {name}={shlex.quote(value)}")
        return 0
    output.step(f"KOS shell for {spec}; exit ends it")
    environment = os.environ | variables | {"KOS_SHELL": "1"}
    return subprocess.run([os.environ.get("SHELL", "/bin/sh")], env=environment, check=False).returncode
