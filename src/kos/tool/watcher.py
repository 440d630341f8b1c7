"""Run a project on this machine and follow its sources: rebuild on a change, relaunch what changed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from watchfiles import DefaultFilter
from watchfiles import watch as watch_files

from kos.abi.errors import KosError
from kos.build import tree, wheels
from kos.build.system import Built
from kos.manifest import PlatformSpec, codec
from kos.tool import output
from kos.tool.request import RunRequest, stage_next
from kos.tool.runners import host

DEBOUNCE = 200  # milliseconds: an editor's several writes are one change
POLL = 200  # milliseconds between looks at whether the system still runs


class Sources(DefaultFilter):
    """What of a project is a source: not what builds, tools and editors leave there, nor our own output."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self._outputs = [os.fstat(stream) for stream in (1, 2)]

    def __call__(self, change: object, path: str) -> bool:
        parts = Path(path).relative_to(self._root).parts
        ours = parts[:1] == ("build",) or parts[-1:] == (wheels.LOCK_FILE,) or self._printed(path, parts)
        return not ours and not any(tree.ignored(part) or part.startswith(".") for part in parts)

    def _printed(self, path: str, parts: tuple[str, ...]) -> bool:
        """Whether the console goes there: each line of it would be a change that makes the next line."""
        if len(parts) == 1 and path.endswith(".log"):  # `| tee console.log` is written by another process
            return True
        try:
            return any(os.path.samestat(os.stat(path), output) for output in self._outputs)
        except OSError:
            return False


def watch(request: RunRequest) -> int:
    """Run, rebuild and relaunch until Ctrl-C; the exit code."""
    if PlatformSpec.parse(request.platform).name != "host":
        raise KosError("watch works on this machine only", hint="use -p host, or kos-tool run for a device")
    root = request.builder().root
    with _changes(root) as changed:
        try:
            while True:
                _run(request, changed)
        except KeyboardInterrupt:
            output.say("")
            output.step("stopped")
            return 130


@contextmanager
def _changes(root: Path) -> Iterator[threading.Event]:
    """An event that is set whenever a source below `root` changes."""
    changed, stop = threading.Event(), threading.Event()

    def follow() -> None:
        for _ in watch_files(root, watch_filter=Sources(root), debounce=DEBOUNCE, stop_event=stop):
            changed.set()

    thread = threading.Thread(target=follow, name="watch", daemon=True)
    thread.start()
    try:
        yield changed
    finally:
        stop.set()
        thread.join()


def _build(request: RunRequest) -> Built | None:
    try:
        return request.builder().build()
    except KosError as error:
        output.error(error)
        return None


def _run(request: RunRequest, changed: threading.Event) -> None:
    """Run what can be built, and go over to each new build, until the system ends."""
    changed.clear()
    built = _build(request)
    if built is None:
        output.step("waiting for a change")
        _wait(changed)
        return
    with host.started(request, built=built) as system:
        output.step(f"{built.manifest.name} runs; watching {request.builder().root}")
        while _wait(changed, system):
            changed.clear()
            now = _build(request)
            if now is None:
                output.step("still running as it was")
            elif codec.dump(now.manifest) == codec.dump(built.manifest):
                output.step("nothing that runs has changed")
            else:
                built = now
                _relaunch(system, now)
    output.step("the system ended; waiting for a change")
    _wait(changed)


def _relaunch(system: host.HostRun, built: Built) -> None:
    """Go over to a new build; apps that it did not change go on as they are."""
    stage_next(built, system.directory)
    with system.client() as client:
        done = client.request("apply")
    output.step(f"relaunched: {', '.join(done['started']) or 'nothing'}")


def _wait(changed: threading.Event, system: host.HostRun | None = None) -> bool:
    """Wait for a change; False when the system has ended, whatever changed meanwhile."""
    found = False
    while not found:
        found = changed.wait(POLL / 1000)
        if system is not None and system.process.poll() is not None:
            return False
    return True
