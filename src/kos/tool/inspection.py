"""What the kernel says of a running system, as the status document that assurance judges.

It reads /proc as root or as the user who started the system, and believes nothing that an app could have
written: what an app was started with is told by the manifest. It changes nothing; an app stands still for the
moment in which its filter is read.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kos.abi.errors import KosError
from kos.abi.services import PORT_INTERNET
from kos.abi.stream import CONSOLE, SHELL
from kos.build.cache import Cache
from kos.device.cells import FIRST_PASSED, resource_types
from kos.device.debug.grants import kind_of
from kos.device.seccomp.compiler import compile_policy
from kos.device.seccomp.policy import Policy, policy_for
from kos.manifest import App, Manifest, Network, limits
from kos.manifest.images import IMAGE, BuiltImage
from kos.tool.filters import filters_of

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
_NAMESPACES = ("ipc", "mnt", "net", "pid", "user", "uts")
_ANONYMOUS = {
    "[eventfd]": "event",
    "[eventpoll]": "epoll",
    "[timerfd]": "timer",
    "[signalfd]": "signal",
}
_CAPABILITY_SETS = ("CapPrm", "CapEff", "CapAmb")
_SECCOMP = {"0": "none", "1": "strict", "2": "filter"}
_LISTENING = "0A"  # of the state column in /proc/net/tcp: TCP_LISTEN
_INIT_PROCESSES = 1  # kos-launch counts as one of the app's


def inspect(manifest: Manifest, status: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """The status document of a running system.

    Args:
        manifest: what runs.
        status: the supervisor's answer, for the process of each app.
        directory: of the run, with the blobs of its images.

    Raises:
        KosError: /proc does not let us look.
    """
    servers = policy_for("msgserver")
    return {
        "namespaces": _namespaces(os.getpid()),
        "kernel_command_line": (PROC / "cmdline").read_text().strip(),
        "apps": {
            name: seen
            for name, entry in status["apps"].items()
            if (
                seen := _look(
                    name, entry, manifest.apps.get(name), _policy(manifest.apps.get(name)), directory
                )
            )
        },
        "msg_servers": {
            name: {**seen, "descriptors": []}  # it holds every app's connection
            for name, entry in status.get("msg_servers", {}).items()
            if (seen := _look(name, entry, None, servers, directory))
        },
    }


def _look(
    name: str, entry: Mapping[str, Any], app: App | None, policy: Policy | None, directory: Path
) -> dict[str, Any] | None:
    """One sandbox; None where it does not run."""
    if entry["state"] != "running" or not entry["pid"]:
        return None
    try:
        return _sandbox(app, policy, int(entry["pid"]), directory)
    except (FileNotFoundError, ProcessLookupError):
        if (PROC / str(entry["pid"])).exists():
            raise
        return None  # it ended while we looked
    except PermissionError as error:
        raise KosError(
            f"cannot look into {name}: {error.strerror}",
            where=str(error.filename),
            hint="run it as root, or as the user who started the system",
        ) from None


def _sandbox(app: App | None, policy: Policy | None, first: int, directory: Path) -> dict[str, Any]:
    processes = [first, *_descendants(first)]
    states = [_fields(pid) for pid in processes]
    # kos-launch, the first process of a sandbox, is ours; what it holds is not the app's.
    own = processes[1:] or processes
    expected = hashlib.sha256(compile_policy(policy, platform.machine())).hexdigest() if policy else None
    found = {digest for pid in own for digest in filters_of(pid)}
    as_built = expected is not None and expected in found
    return {
        "uid": min(int(state["Uid"].split()[1]) for state in states),
        "capabilities": _union(states),
        "no_new_privs": all(state.get("NoNewPrivs") == "1" for state in states),
        "seccomp": min(
            (_SECCOMP[state["Seccomp"]] for state in states), key=["none", "strict", "filter"].index
        ),
        "filter": expected if as_built else min(found, default=None),
        "allowed": sorted({rule.name for rule in policy.allow}) if policy and as_built else None,
        "namespaces": _namespaces(own[0]),
        "descriptors": [descriptor for pid in own for descriptor in _descriptors(app, pid)],
        "writable": _writable(own[0]),
        "listening": _sockets(own[0])[1],
        "limits": _limits(own[0]),
        "files": _files(PROC / str(own[0]) / "root" / "app"),
        "expected": {"filter": expected, "files": _image_files(app, directory)},
    }


def _policy(app: App | None) -> Policy | None:
    if app is None:
        return None
    kind = next(
        record.tag[1] for record in IMAGE.records if isinstance(app.image, record.make) and record.tag
    )
    joined = any(port.name == PORT_INTERNET and access.role == "client" for port, access in app.grants())
    return policy_for(kind, (*resource_types(app.resources), *(["internet"] if joined else [])))


def _descendants(pid: int) -> Iterator[int]:
    for child in (PROC / str(pid) / "task" / str(pid) / "children").read_text().split():
        yield int(child)
        yield from _descendants(int(child))


def _fields(pid: int) -> dict[str, str]:
    lines = (PROC / str(pid) / "status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _union(states: list[dict[str, str]]) -> int:
    held = 0
    for state in states:
        for name in _CAPABILITY_SETS:
            held |= int(state[name], 16)
    return held


def _namespaces(pid: int) -> dict[str, int]:
    links = {kind: (PROC / str(pid) / "ns" / kind).readlink().name for kind in _NAMESPACES}
    return {kind: int(re.sub(r"\D", "", link)) for kind, link in links.items()}


# --- descriptors --------------------------------------------------------------------------------------------


def _descriptors(app: App | None, pid: int) -> Iterator[dict[str, Any]]:
    folder = PROC / str(pid) / "fd"
    links = {int(entry.name): str(entry.readlink()) for entry in folder.iterdir()}
    passed = {links[fd]: kind for fd, kind in _passed(app).items() if fd in links}
    mounts = {line.split()[0] for line in (PROC / str(pid) / "mountinfo").read_text().splitlines()}
    made = {f"socket:[{inode}]" for inode in _sockets(pid)[0]}
    # Ethernet and tunnel are handed their sockets while they run; nobody else is handed any.
    stranger = "network" if app is not None and app.resources_of(Network) else "passed socket"
    for fd, link in sorted(links.items()):
        kind = _kind(pid, fd, link, passed, made, mounts)
        yield {"fd": fd, "kind": stranger if kind == "socket" else kind}


def _kind(pid: int, fd: int, link: str, passed: Mapping[str, str], made: set[str], mounts: set[str]) -> str:
    if link in passed:
        return passed[link]
    if link == "/dev/null":
        return "null"
    if link.startswith("/memfd:"):
        return "memory"
    if link.startswith("anon_inode:"):
        return _ANONYMOUS.get(link.removeprefix("anon_inode:"), link)
    if link.startswith("pipe:"):
        return "console" if fd in (1, 2) else "pipe"
    if link.startswith("socket:"):
        return "own socket" if link in made else "socket"
    info = (PROC / str(pid) / "fdinfo" / str(fd)).read_text()
    mount = next(line.split()[1] for line in info.splitlines() if line.startswith("mnt_id:"))
    return link if mount in mounts else f"host:{link}"


def _passed(app: App | None) -> dict[int, str]:
    """Descriptor → what an app is started with, in the order in which the supervisor passes it on."""
    if app is None:
        return {}
    kinds = [f"control:{server}" for server in sorted(app.access)]
    kinds += [kind for kind in ("supervisor", "network") if kind in resource_types(app.resources)]
    if app.debug and kind_of(app) in (SHELL, CONSOLE):
        kinds.append("debugging channel")
    return dict(enumerate(kinds, FIRST_PASSED))


def _sockets(pid: int) -> tuple[set[str], list[str]]:
    """Inodes of the sockets that were made in the app's own network, and those that listen."""
    inodes: set[str] = set()
    listening: list[str] = []
    net = PROC / str(pid) / "net"
    for line in _rows(net / "unix"):
        inodes.add(line[6])
    for protocol in ("tcp", "tcp6", "udp", "udp6", "icmp", "icmp6"):
        for line in _rows(net / protocol):
            inodes.add(line[9])
            if protocol.startswith("tcp") and line[3] == _LISTENING:
                listening.append(f"{protocol} {_address(line[1])}")
    return inodes, sorted(listening)


def _rows(table: Path) -> list[list[str]]:
    return [line.split() for line in table.read_text().splitlines()[1:]] if table.exists() else []


def _address(text: str) -> str:
    """`0100007F:1F90` as `127.0.0.1:8080`; an IPv6 address stays in hexadecimal."""
    address, _, port = text.partition(":")
    if len(address) == 8:
        address = ".".join(str(byte) for byte in reversed(bytes.fromhex(address)))
    return f"{address}:{int(port, 16)}"


# --- files and limits ---------------------------------------------------------------------------------------


def _writable(pid: int) -> list[str]:
    found = []
    for line in (PROC / str(pid) / "mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point, own = before.split()[4:6]
        if "rw" in own.split(",") and "rw" in after.split()[2].split(","):
            found.append(point)
    return sorted(found)


def _files(root: Path) -> dict[str, str]:
    """Path in the sandbox → digest of each file that the app runs from."""
    if not root.is_dir():
        return {}
    return {
        f"/app/{path.relative_to(root).as_posix()}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def _image_files(app: App | None, directory: Path) -> dict[str, str]:
    """The same from the app's blob, after its digest was checked against the manifest's."""
    if app is None or not isinstance(app.image, BuiltImage):
        return {}
    # A run from a project keeps its images unpacked; the blobs stay in the build's cache.
    places = [directory / "store" / "blobs" / "sha256", Cache().root / "blobs"]
    blob = next((found for place in places if (found := place / app.image.sha256).exists()), None)
    if blob is None:
        raise KosError(
            f"the image of {app.name} is not here to compare with", hint="build it again: kos-tool manifest"
        )
    with blob.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != app.image.sha256:
            raise KosError(f"the image of {app.name} was changed", where=str(blob))
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:") as archive:
            return {
                f"/app/{member.name.removeprefix('./')}": hashlib.file_digest(content, "sha256").hexdigest()
                for member in archive
                if member.isreg() and (content := archive.extractfile(member))
            }


def _limits(pid: int) -> dict[str, int | None]:
    """The tighter of control groups and resource limits, counted as the manifest counts."""
    rows = {row[:25].strip(): row[26:].split()[0] for row in _lines(PROC / str(pid) / "limits")[1:]}
    groups = _group_folders(pid)
    processes = _least(groups.get("pids"), ("pids.max",), rows["Max processes"])
    return {
        "memory": _least(
            groups.get("memory"), ("memory.max", "memory.limit_in_bytes"), rows["Max data size"]
        ),
        "processes": processes - _INIT_PROCESSES if processes is not None else None,
        "descriptors": _number(rows["Max open files"]),
    }


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


def _group_folders(pid: int) -> dict[str, Path]:
    """Controller → the control group of a process, in version 2 or 1."""
    folders: dict[str, Path] = {}
    for line in _lines(PROC / str(pid) / "cgroup"):
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(",") if controllers else ("memory", "pids"):
            top = CGROUPS / controller if controllers else CGROUPS
            if (top / path.lstrip("/")).is_dir():
                folders.setdefault(controller, top / path.lstrip("/"))
    return folders


def _least(folder: Path | None, names: tuple[str, ...], other: str) -> int | None:
    texts = [other]
    if folder is not None:
        texts += [(folder / name).read_text().strip() for name in names if (folder / name).exists()]
    return min((number for text in texts if (number := _number(text)) is not None), default=None)


def _number(text: str) -> int | None:
    """A limit; None for none, which version 1 of control groups writes as almost 2**63."""
    return int(text) if text.isdigit() and int(text) <= limits.WHOLE_MAX else None
