"""Memory, processes, descriptors and processor share of a sandbox, by what this machine offers.

Control groups version 2 where they are delegated to us, version 1 as root where that is what there is, else
resource limits of the kernel (setrlimit), which count for each process alone. `detect` says which, and the
status of a running system repeats it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from kos.abi.hints import Protocol
from kos.abi.records import dataclass

CGROUPS = Path("/sys/fs/cgroup")
MIB = 1 << 20
# Room for what is mapped but not the app's data: libraries, the interpreter, shared buffers.
ADDRESS_SPACE_EXTRA = 512 * MIB
THREAD_STACK = 2 * MIB  # with resource limits only: the usual 8 MiB would count as data for each thread
_PRIORITY_NORMAL = 100
_INIT_PROCESSES = 1  # kos-launch counts as one of the app's


@dataclass(frozen=True)
class Wanted:
    """What a manifest says; None is no limit."""

    memory: int | None = None
    processes: int | None = None
    descriptors: int | None = None
    storage: int | None = None  # bytes of one file in /data
    priority: int = _PRIORITY_NORMAL


class Group(Protocol):
    """The limits of one sandbox while it runs."""

    def add(self, pid: int) -> None: ...

    def memory(self) -> int | None: ...

    def out_of_memory(self) -> bool: ...

    def refused_processes(self) -> int: ...

    def close(self) -> None: ...


class Mechanism(Protocol):
    """How this machine limits a sandbox."""

    description: str

    def group(self, name: str, wanted: Wanted) -> Group: ...

    def rlimits(self, wanted: Wanted) -> dict[str, int]: ...

    def close(self) -> None: ...


def weight(priority: int) -> int:
    """The processor share of a priority: 100 at the normal 100, doubled every 32 steps."""
    return max(1, round(100 * 2 ** ((priority - _PRIORITY_NORMAL) / 32)))


def _common_rlimits(wanted: Wanted) -> dict[str, int]:
    limits = {"core": 0, "msgqueue": 0, "memlock": 0, "rtprio": 0, "nice": 0}
    if wanted.descriptors is not None:
        limits["nofile"] = wanted.descriptors
    if wanted.storage is not None:
        limits["fsize"] = wanted.storage
    return limits


class ResourceLimits:
    """Only what every kernel has: limits of each process alone."""

    description = "resource limits (for each process alone)"

    def group(self, name: str, wanted: Wanted) -> Group:
        return _NicedProcess(wanted)

    def rlimits(self, wanted: Wanted) -> dict[str, int]:
        limits = _common_rlimits(wanted)
        if wanted.memory is not None:
            limits |= {
                "data": wanted.memory,
                "as": wanted.memory + ADDRESS_SPACE_EXTRA,
                "stack": THREAD_STACK,
            }
            limits.setdefault("fsize", wanted.memory)
        if wanted.processes is not None:
            limits["nproc"] = wanted.processes + _INIT_PROCESSES
        return limits

    def close(self) -> None:
        """Nothing outlives the processes."""


class _NicedProcess:
    def __init__(self, wanted: Wanted) -> None:
        self._nice = max(0, min(19, (_PRIORITY_NORMAL - wanted.priority) // 5))

    def add(self, pid: int) -> None:
        # Nobody may be made less nice than the one who started all this, such as `nice kos-tool run`.
        if self._nice > os.getpriority(os.PRIO_PROCESS, pid):
            os.setpriority(os.PRIO_PROCESS, pid, self._nice)

    def memory(self) -> int | None:
        return None

    def out_of_memory(self) -> bool:
        return False

    def refused_processes(self) -> int:
        return 0

    def close(self) -> None:
        """The niceness ends with the process."""


class ControlGroups:
    """Common to both versions: one folder for the system in each hierarchy, one below it for each sandbox."""

    description = ""

    def __init__(self, tops: dict[str, Path]) -> None:
        self._tops = tops  # controller → the system's own folder
        for folder in set(tops.values()):
            _sweep(folder.parent)
            folder.mkdir(exist_ok=True)

    def rlimits(self, wanted: Wanted) -> dict[str, int]:
        limits = _common_rlimits(wanted)
        if "pids" not in self._tops and wanted.processes is not None:
            limits["nproc"] = wanted.processes + _INIT_PROCESSES
        return limits

    def close(self) -> None:
        for folder in set(self._tops.values()):
            _remove(folder)

    def folders(self, name: str) -> dict[str, Path]:
        made = {controller: top / name for controller, top in self._tops.items()}
        for folder in set(made.values()):
            if folder.exists():  # of an earlier supervisor that was killed; its counters are not ours
                folder.rmdir()
            folder.mkdir()
        return made


class ControlGroups2(ControlGroups):
    """Control groups version 2."""

    description = "control groups v2"

    def __init__(self, top: Path, controllers: set[str]) -> None:
        super().__init__({controller: top for controller in controllers})
        _divide(top, controllers)

    def group(self, name: str, wanted: Wanted) -> Group:
        folders = self.folders(name)
        settings = []
        if wanted.memory is not None:
            settings += [("memory", "memory.max", wanted.memory), ("memory", "memory.swap.max", 0)]
            settings += [("memory", "memory.oom.group", 1)]
        if wanted.processes is not None:
            settings += [("pids", "pids.max", wanted.processes + _INIT_PROCESSES)]
        settings += [("cpu", "cpu.weight", min(10_000, weight(wanted.priority)))]
        return _FolderGroup(folders, settings, "memory.current", "memory.events")


class ControlGroups1(ControlGroups):
    """Control groups version 1, for root on machines that have no other."""

    description = "control groups v1"

    def group(self, name: str, wanted: Wanted) -> Group:
        folders = self.folders(name)
        settings = []
        if wanted.memory is not None:
            settings += [("memory", "memory.limit_in_bytes", wanted.memory)]
            settings += [("memory", "memory.memsw.limit_in_bytes", wanted.memory)]
        if wanted.processes is not None:
            settings += [("pids", "pids.max", wanted.processes + _INIT_PROCESSES)]
        settings += [("cpu", "cpu.shares", max(2, weight(wanted.priority) * 1024 // 100))]
        return _FolderGroup(folders, settings, "memory.usage_in_bytes", "memory.oom_control")


def _sweep(above: Path) -> None:
    """Remove what systems whose supervisor was killed left behind: the kernel keeps empty groups."""
    for folder in above.glob("kos-*"):
        pid = folder.name.removeprefix("kos-")
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a group and those in it. Where one's last processes are still dying, a later sweep takes it."""
    with contextlib.suppress(OSError):
        for inner in (path for path in folder.iterdir() if path.is_dir()):
            inner.rmdir()
        folder.rmdir()


def _counter(events: Path, wanted: str) -> int:
    """A number of an events file, whose lines are a name and a number."""
    pairs = (line.split() for line in events.read_text().splitlines())
    return next((int(count) for name, count in pairs if name == wanted), 0)


class _FolderGroup:
    def __init__(
        self, folders: dict[str, Path], settings: list[tuple[str, str, int]], usage: str, events: str
    ) -> None:
        self._folders = folders
        self._usage = folders["memory"] / usage
        self._events = folders["memory"] / events
        self._refusals = folders["pids"] / "pids.events" if "pids" in folders else None
        for controller, file, value in settings:
            path = folders[controller] / file if controller in folders else None
            if path and path.exists():  # swap accounting is optional in the kernel
                path.write_text(str(value))

    def add(self, pid: int) -> None:
        for folder in set(self._folders.values()):
            (folder / "cgroup.procs").write_text(str(pid))

    def memory(self) -> int | None:
        return int(self._usage.read_text())

    def out_of_memory(self) -> bool:
        return _counter(self._events, "oom_kill") > 0

    def refused_processes(self) -> int:
        """How often the limit on processes held."""
        return _counter(self._refusals, "max") if self._refusals and self._refusals.exists() else 0

    def close(self) -> None:
        for folder in set(self._folders.values()):
            _remove(folder)


def detect(system: str, root: Path = CGROUPS, memberships: Path = Path("/proc/self/cgroup")) -> Mechanism:
    """The best mechanism that works here; `system` names this run and must be unique on the machine."""
    own = {}
    for line in memberships.read_text().splitlines():
        _number, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            own[controller] = path.lstrip("/")
    for attempt in (_version_2, _version_1):
        try:
            if mechanism := attempt(system, root, own):
                return mechanism
        except OSError:
            continue  # not delegated to us: the next one
    return ResourceLimits()


def _version_2(system: str, root: Path, own: dict[str, str]) -> Mechanism | None:
    if not (root / "cgroup.controllers").exists():
        return None
    # Root makes its own group at the top; anyone else needs the group that it runs in to be delegated.
    above = root if os.geteuid() == 0 else root / own.get("", "")
    offered = set((above / "cgroup.subtree_control").read_text().split()) & {"memory", "pids", "cpu"}
    if "memory" not in offered:
        wanted = set((above / "cgroup.controllers").read_text().split()) & {"memory", "pids", "cpu"}
        if "memory" not in wanted:
            return None
        try:
            _divide(above, wanted)
        except OSError:
            # A real-time process holds the controller of the processor back: go without it. Fails again
            # where other processes share the group with us: then it is not ours to divide.
            wanted.discard("cpu")
            _divide(above, wanted)
        offered = wanted
    return ControlGroups2(above / system, offered)


def _divide(group: Path, controllers: set[str]) -> None:
    """Let a group's own groups be limited by these controllers."""
    (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(controllers)))


def _version_1(system: str, root: Path, own: dict[str, str]) -> Mechanism | None:
    if os.geteuid() != 0 or not (root / "memory" / "memory.limit_in_bytes").parent.is_dir():
        return None
    tops = {
        controller: root / controller / own[controller] / system
        for controller in ("memory", "pids", "cpu")
        if controller in own and (root / controller / own[controller]).is_dir()
    }
    return ControlGroups1(tops) if "memory" in tops else None
