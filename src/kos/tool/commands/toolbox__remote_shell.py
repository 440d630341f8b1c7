"""Open a Python shell inside a running app"""

from __future__ import annotations

import contextlib
import sys

import click

from kos.tool import completion, options, output
from kos.tool.server_client import SERVER

SECTION = "Debugging"


@click.command()
@click.argument("app", shell_complete=completion.apps)
@options.SYSTEM_OPTION
@options.DEVICE_OPTION
@SERVER
@click.option("-c", "--code", multiple=True, help="Run this line and leave; may be given again.")
@options.JSON
def command(
    app: str, system: str | None, device: str | None, url: str | None, code: tuple[str, ...], as_json: bool
) -> None:
    """Open a Python shell inside the running Python app APP.

    The shell runs in the app's own process and sandbox and sees the names of the app's own module. The
    manifest must say so: debug=True for the app, and the option remote_shell. Every line is written to the
    device's console.
    """
    from kos.tool.remote_shell import RemoteShell, interact, run_all
    from kos.tool.streams import open_local, open_remote

    if as_json and not code:
        raise click.UsageError("--json needs --code")
    stream = open_remote(url, device, "shell", app) if device else open_local(system, "shell", app)
    printed: list[str] = []
    show = printed.append if as_json else lambda text: print(text, end="", flush=True)
    with contextlib.closing(stream):
        shell = RemoteShell(stream, show)
        if code:
            run_all(shell, code)
        elif sys.stdin.isatty():
            interact(shell)
        else:
            run_all(shell, sys.stdin)
        reason = stream.reason
    if as_json:
        output.result_json({"app": app, "output": "".join(printed), "ended": reason})
    elif reason is not None:
        output.say(f"closed: {reason}")
