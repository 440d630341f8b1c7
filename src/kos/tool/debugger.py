"""gdb for a C app: its symbols, its command line, and the pipe that carries its protocol."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from kos.abi.errors import KosError
from kos.device.control.stream import StreamReader
from kos.tool import output

READ_SIZE = 16 * 1024


def carry(stream: StreamReader) -> None:
    """Standard input to the stream, the stream to standard output, until either ends."""

    def send() -> None:
        while data := os.read(0, READ_SIZE):
            try:
                stream.send(data)
            except KosError:
                return
        stream.close()

    threading.Thread(target=send, daemon=True).start()
    while data := stream.receive():
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]


def run_gdb(program: str | None, symbols: Path, app: list[str], commands: Sequence[str]) -> int:
    """Run gdb on an app; → its exit status."""
    gdb = program or next((name for name in ("gdb-multiarch", "gdb") if shutil.which(name)), None)
    if gdb is None or shutil.which(gdb) is None:
        raise KosError(f"{gdb or 'gdb'} is not installed", hint="apt-get install gdb-multiarch")
    pipe = shlex.join([sys.executable, "-m", "kos.tool", "toolbox.debug", *app, "--pipe"])
    arguments = [gdb, "-q", *(["-batch"] if commands else []), str(symbols)]
    # gdb waits two seconds by itself, which a slow machine or a far device may take to begin.
    for each in ("set confirm off", "set remotetimeout 30", f"target remote | {pipe}", *commands):
        arguments += ["-ex", each]
    return subprocess.run(arguments, check=False).returncode


def symbols(project: Path, app: str, platform: str, running: str | None) -> Path:
    """The program of a C app with its symbols, built from a project.

    Args:
        project: its directory.
        app: the app.
        platform: of the device.
        running: SHA-256 of the image that runs; None where nobody knows.

    Raises:
        KosError: the project has no such app, or it does not build.
    """
    from kos.build.system import Builder
    from kos.manifest.load import load_project

    builder = Builder(load_project(project), platform, may_lock=False, say=output.step)
    program, image = builder.symbols(app)
    if running not in (None, image):
        output.say(f"warning: {app} runs from other sources than these: lines and names may be wrong")
    return program
