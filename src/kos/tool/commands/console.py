"""Show the console of a running system, or a saved one"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from kos.abi.errors import KosError
from kos.tool import completion, options, output, runs
from kos.tool.server_client import SERVER

SECTION = "Run"
LINE_MAX = 64 << 10  # bytes; the console splits its own long before


@click.command()
@options.SYSTEM
@click.option(
    "--app",
    "apps",
    multiple=True,
    shell_complete=completion.apps,
    help="Only the lines of that app; may be given again.",
)
@click.option("--file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A saved console.")
@click.option("--no-history", is_flag=True, help="Only what comes from now on.")
@click.option("--vm", metavar="NAME", help="Be at the console of that microVM's guest; Ctrl-] leaves it.")
@options.DEVICE_OPTION
@SERVER
def command(
    system: str | None,
    apps: tuple[str, ...],
    file: Path | None,
    no_history: bool,
    vm: str | None,
    device: str | None,
    url: str | None,
) -> None:
    """Show the console of a running system until it ends or Ctrl-C, or a saved one with --file.

    With --vm the terminal is the guest's: what is typed goes to it as it is. The manifest must say so:
    debug=True for the microVM, and the option remote_shell.
    """
    if vm is not None:
        _be_at(vm, system, device, url)
        return
    if device is not None:
        raise KosError(
            "--device goes with --vm", hint=f"kos-tool server.data.log {device} shows the console of a device"
        )
    if file is not None:
        if system is not None:
            raise click.UsageError("either a running SYSTEM or a --file, not both")
        _show(_saved(file), apps)
        return
    with runs.connect(system) as client:
        _show(client.console(history=not no_history), apps)


def _be_at(vm: str, system: str | None, device: str | None, url: str | None) -> None:
    from kos.tool.streams import open_local, open_remote
    from kos.tool.terminal import Terminal

    stream = open_remote(url, device, "console", vm) if device else open_local(system, "console", vm)
    with contextlib.closing(stream):
        output.say(f"at the console of {vm}; Ctrl-] leaves")
        reason = Terminal(stream).run()
    output.say(f"closed: {reason}" if reason else "left")


def _saved(file: Path) -> Iterator[str]:
    from kos.device.console.lines import printable

    with file.open("rb") as lines:
        while line := lines.readline(LINE_MAX + 1):
            if len(line) > LINE_MAX:
                raise KosError(
                    f"a line has more than {LINE_MAX} bytes", where=str(file), hint="name a saved console"
                )
            yield printable(line.rstrip(b"\n"))


def _show(lines: Iterator[str], apps: tuple[str, ...]) -> None:
    from kos.device.console.parse import coloured, only

    colours = not output.plain(sys.stdout)
    for line in only(lines, apps) if apps else lines:
        output.result(coloured(line) if colours else line)
