"""Debug a running C app with gdb"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import click

from kos.abi.errors import KosError
from kos.tool import completion, options
from kos.tool.server_client import SERVER

SECTION = "Debugging"
ELF = b"\x7fELF"


@click.command()
@click.argument("app", shell_complete=completion.apps)
@options.SYSTEM_OPTION
@options.DEVICE_OPTION
@SERVER
@options.IN_PROJECT
@click.option(
    "--symbols",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The app's program with its symbols.  [default: made from the project]",
)
@click.option("--gdb", "program", metavar="PROGRAM", help="Which gdb.  [default: gdb-multiarch or gdb]")
@click.option("-x", "--execute", multiple=True, metavar="COMMAND", help="Give gdb this command, then leave.")
@click.option("--pipe", is_flag=True, help="Only carry gdb's protocol on standard input and output.")
def command(
    app: str,
    system: str | None,
    device: str | None,
    url: str | None,
    project: Path,
    symbols: Path | None,
    program: str | None,
    execute: tuple[str, ...],
    pipe: bool,
) -> None:
    """Attach gdb to the running C app APP, with the symbols of the program as the project builds it.

    The manifest must say so: debug=True for the app, and the option debugger. The app stands still while gdb
    has it; when gdb leaves, it goes on.
    """
    from kos.tool import debugger
    from kos.tool.streams import open_local, open_remote

    if pipe:
        stream = open_remote(url, device, "gdb", app) if device else open_local(system, "gdb", app)
        with contextlib.closing(stream):
            debugger.carry(stream)
        if stream.reason and stream.reason != "the other side ended it":
            raise KosError(f"closed: {stream.reason}")
        return
    if symbols is not None:
        with symbols.open("rb") as file:
            if file.read(len(ELF)) != ELF:
                raise KosError("expected a program with symbols", where=str(symbols))
    place = ["--device", device] if device else (["--system", system] if system else [])
    place += ["--server", url] if url else []
    found = symbols or debugger.symbols(project, app, *_what_runs(app, system, device, url))
    raise SystemExit(debugger.run_gdb(program, found, [app, *place], execute))


def _what_runs(app: str, system: str | None, device: str | None, url: str | None) -> tuple[str, str | None]:
    """The platform, and the SHA-256 of the app's image where it is known."""
    from kos.tool import runs
    from kos.tool.server_client import ServerClient

    if device:
        return str(ServerClient(url).device(device)["platform"]), None
    path = runs.find(system) / "manifest.json"
    if not path.exists():  # a simulated device has its manifest inside
        with runs.connect(system) as client:
            return str(client.status()["platform"]), None
    manifest = json.loads(path.read_bytes())
    entry = manifest["apps"].get(app)
    if entry is None:
        raise KosError(f"there is no app {app!r}", hint=f"apps: {', '.join(sorted(manifest['apps']))}")
    return manifest["platform"], entry["image"].get("sha256")
