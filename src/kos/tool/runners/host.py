"""Run a system on this machine: the device's own supervisor, in a run directory that goes away with it."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kos.abi.errors import KosError
from kos.build.system import Built
from kos.device.control.client import ControlClient
from kos.device.launcher import cache_folder, host_launcher
from kos.manifest import Manifest
from kos.tool import output, packages, runs, studio
from kos.tool.request import RunRequest, install_built, install_keys

START_SECONDS = 120.0  # until the supervisor takes orders, on a machine that is busy with other things
_PR_SET_PDEATHSIG = 1


class HostRun:
    """A running system: its directory and its supervisor."""

    def __init__(self, directory: Path, manifest: Manifest, process: subprocess.Popen[bytes]) -> None:
        self.directory = directory
        self.manifest = manifest
        self.process = process

    def client(self) -> ControlClient:
        """A connection to the supervisor, as soon as it takes orders."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return ControlClient(self.directory)
            except KosError:
                if self.process.poll() is not None:
                    raise KosError("the supervisor ended before the system started") from None
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def stop(self) -> None:
        """Stop the system and wait until all of it is gone."""
        while self.process.poll() is None:
            try:
                self.process.send_signal(signal.SIGTERM)
                self.process.wait()
            except KeyboardInterrupt:
                # A second Ctrl-C means "at once": the supervisor takes a second SIGTERM so.
                continue


def _die_with_parent() -> None:
    """In the child: end when kos-tool ends, whatever ended it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def started(
    request: RunRequest, *, built: Built | None = None, quiet: bool = False, for_studio: bool = False
) -> Iterator[HostRun]:
    """Start a system; at the end it is stopped and its directory removed.

    Args:
        request: what to run.
        built: the system, where it is built already.
        quiet: the console is not printed.
        for_studio: where a Studio listens and the request names no keys, it is the same device each time.
    """
    packages.require("run")
    with runs.staging() as staging:
        manifest = install_built(built, staging) if built else request.install(staging)
        name = runs.check_name(request.run_name(manifest))
        keys = request.keys
        if keys is None and for_studio and studio.listens():
            keys = studio.device_keys(request.source)
        install_keys(staging / "keys", keys)
        # Set-up built it for the user who ran it; for another one our compiler takes most of a minute, and
        # whatever is wrong is said before.
        host_launcher(cache_folder(), output.step)
        with runs.new(name) as directory:
            staging.rename(directory)
            command = [sys.executable, "-m", "kos.device.supervisor", "--dir", str(directory)]
            process = subprocess.Popen(
                [*command, "--quiet"] if quiet else command,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for kos-tool, which stops things in order
                preexec_fn=_die_with_parent,
            )
            run = HostRun(directory, manifest, process)
            try:
                yield run
            finally:
                run.stop()


def run(request: RunRequest) -> int:
    """Run a system until it ends or Ctrl-C."""
    request.refuse_board()
    with (
        started(request, for_studio=True) as system,
        studio.attached(system.directory, system.manifest.name) as seen,
    ):
        where = ", see it in Studio" if seen else ""
        output.step(f"{system.manifest.name} runs{where}; Ctrl-C stops it")
        try:
            code = system.process.wait()
        except KeyboardInterrupt:
            output.say("")
            output.step("stopping")
            system.stop()
            return 130
    return 0 if code == 0 else 1
