"""Print the shell's completion script"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from kos.tool import output

SECTION = "Set-up"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print a script that makes SHELL complete kos-tool's commands and options.

    For bash: kos-tool completion bash >> ~/.bashrc
    """
    from kos.tool.main import cli

    maker = get_completion_class(shell)
    assert maker is not None  # click knows all three
    output.result(maker(cli, {}, "kos-tool", "_KOS_TOOL_COMPLETE").source())
