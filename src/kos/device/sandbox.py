"""The sandbox of one process as a bubblewrap command line.

Pure: it turns a `Cell` (what the process gets) and a `Runtime` (what the machine has) into arguments. As root
there is no user namespace: kos-launch becomes the cell's own uid. As an ordinary user bubblewrap makes a user
namespace and the cell keeps the user's uid, alone in its process namespace. Everything else is the same.
"""

from __future__ import annotations

import os
from pathlib import Path

from kos.abi.records import dataclass, field
from kos.device.runtime import LAUNCH_NAME, Bind, Runtime

# App uids start here: systemd's map of uids (uids-gids) leaves 1,879,048,192 to 2,147,483,647 unused.
UID_BASE = 1_900_000_000
TMP_SIZE = 16 << 20  # bytes of an app's private /tmp
PROGRAM_PATH = "/kos"
_HIDDEN_SIZE = 4096
_DEVICES = ("null", "zero", "full", "random", "urandom")
# `sys.path` of a Python process: the standard library, then ours, then its image.
_BOOT = "import sys; sys.path += ['/kos', '/app/site']; from {module} import main; sys.exit(main())"


def app_uid(caller_id: int) -> int:
    """The uid (and gid) of the process with this caller id, on systems where the supervisor is root."""
    return UID_BASE + caller_id


@dataclass(frozen=True)
class Cell:
    """One process to run alone: what it is, what it sees, what it is limited to."""

    name: str
    kind: str  # of seccomp.policy.KINDS
    command: tuple[str, ...]  # path inside the sandbox, then argv
    environ: dict[str, str]
    caller_id: int
    packages: str = "app"  # key of runtime.PACKAGES
    image: Path | None = None  # becomes /app
    config: bytes = b"{}"  # becomes /config.json
    writable: tuple[Bind, ...] = ()
    devices: tuple[str, ...] = ()  # nodes of /dev beyond the harmless ones
    groups: tuple[int, ...] = ()  # through which it may open them, where it has a uid of its own
    resources: tuple[str, ...] = ()
    joined: bool = False  # it is started inside a network of its own; else it gets an empty one
    readable: tuple[Bind, ...] = ()  # such as /etc/resolv.conf
    tmp_size: int = TMP_SIZE
    traceable: bool = False  # a debugger of its own user may attach to it
    limits: dict[str, int] = field(default_factory=dict)  # rlimits by the names of kos-launch


def python_command(runtime: Runtime, module: str, *arguments: str) -> tuple[str, ...]:
    """A command that calls `module.main()`, with nothing but our own `sys.path`."""
    boot = _BOOT.format(module=module)
    return (runtime.interpreter, runtime.interpreter, "-I", "-S", "-B", "-c", boot, *arguments)


def bwrap_arguments(runtime: Runtime, cell: Cell, config_fd: int, *, as_root: bool) -> list[str]:
    """Arguments of bwrap up to, and without, the command."""
    arguments = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if not cell.joined:
        arguments.append("--unshare-net")
    if as_root:
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            arguments += ["--cap-add", capability]  # for kos-launch, which drops them
    else:
        arguments += [
            "--unshare-user",
            "--uid",
            str(os.getuid()),
            "--gid",
            str(os.getgid()),
            "--cap-drop",
            "ALL",
        ]
    arguments += ["--die-with-parent", "--new-session", "--as-pid-1", "--hostname", "kos", "--clearenv"]
    for name, value in cell.environ.items():
        arguments += ["--setenv", name, value]
    shown = [*runtime.libraries, *(runtime.python if cell.kind != "c" else ())]
    shown += cell.readable
    for folder in _parents([*(bind.target for bind in shown), "/dev/null"]):
        # bwrap makes parents of what is not readable by all for root alone
        arguments += ["--perms", "0755", "--dir", folder]
    for bind in shown:
        arguments += ["--ro-bind", str(bind.source), bind.target]
    for target, link in runtime.links:
        arguments += ["--symlink", target, link]
    if cell.kind != "c":
        for folder in runtime.hidden:
            arguments += ["--perms", "0555", "--size", str(_HIDDEN_SIZE), "--tmpfs", folder]
            arguments += ["--remount-ro", folder]
    arguments += ["--ro-bind", str(runtime.packages / cell.packages), PROGRAM_PATH]
    if cell.image is not None:
        arguments += ["--ro-bind", str(cell.image), "/app"]
    arguments += ["--perms", "0444", "--file", str(config_fd), "/config.json"]
    arguments += ["--proc", "/proc"]
    for node in (*(f"/dev/{name}" for name in _DEVICES), *cell.devices):
        arguments += ["--dev-bind", node, node]
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        arguments += ["--symlink", target, f"/dev/{name}"]
    arguments += ["--symlink", "/tmp", "/dev/shm"]
    arguments += ["--perms", "1777", "--size", str(cell.tmp_size), "--tmpfs", "/tmp"]
    for bind in cell.writable:
        arguments += ["--bind", str(bind.source), bind.target]
    return [*arguments, "--remount-ro", "/", "--chdir", "/tmp" if cell.image is None else "/app"]


def _parents(paths: list[str]) -> list[str]:
    """Every folder above these paths but the root, outer ones first."""
    return sorted({str(parent) for path in paths for parent in Path(path).parents} - {"/"})


def launch_command(
    cell: Cell, status_fd: int, filter_fd: int, pass_fds: list[int], *, as_root: bool
) -> list[str]:
    """The command that bwrap runs: kos-launch with its orders, then the program."""
    command = [f"{PROGRAM_PATH}/{LAUNCH_NAME}", "--status", str(status_fd), "--filter", str(filter_fd)]
    for fd in pass_fds:
        command += ["--pass", str(fd)]
    if as_root:
        uid = str(app_uid(cell.caller_id))
        command += ["--uid", uid, "--gid", uid]
        for group in cell.groups:
            command += ["--group", str(group)]
    for name, value in cell.limits.items():
        command += ["--rlimit", f"{name}={value}"]
    if cell.traceable:
        command += ["--traceable", "1"]
    return [*command, "--", *cell.command]


def running_as_root() -> bool:
    return os.geteuid() == 0
