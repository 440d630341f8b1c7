"""What rules see of a running system: a status document, checked and typed.

The document is JSON that the supervisor, or a tool with enough rights, made from what the kernel says of each
process. It is an answer from a machine that may be compromised: everything has a limit and a type.

    {"kernel_command_line": "…", "namespaces": {"net": 4026531840, …},
     "apps": {"station": {"uid": 10001, "capabilities": 0, "no_new_privs": true, "seccomp": "filter",
       "filter": "<sha256 of the program>", "allowed": ["read", …], "namespaces": {"net": 4026532001, …},
       "descriptors": [{"fd": 3, "kind": "control:msg0"}], "writable": ["/tmp"],
       "listening": ["tcp 0.0.0.0:22"],
       "limits": {"memory": 67108864, "processes": 16, "descriptors": 256},
       "files": {"/app/site/station.py": "<sha256>"}, "expected": {"filter": "…", "files": {…}}}},
     "msg_servers": {"msg0": {…}}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kos.assurance.errors import AssuranceError
from kos.manifest import limits
from kos.manifest.errors import ManifestError
from kos.manifest.fields import Choice, Field, Flag, ListOf, MapOf, Member, Nullable, Record, Text, Whole
from kos.manifest.frozen import EMPTY
from kos.manifest.names import APP_NAME, MSG_SERVER_NAME, SHA256

ITEMS_MAX = 65536  # of any list or map of one app
CALLS_MAX = 1024  # system calls
_WORD = Text(64)
_PATH = Text(4096)
_U64 = Whole(0, limits.WHOLE_MAX)


@dataclass(frozen=True)
class Descriptor:
    """An open file: its number and what it is.

    `null`, `console`, `event`, `memory` and the like; `control:msg0` and `supervisor` for connections that it
    was started with; `own socket` for one that it made; a path for a file inside its sandbox; `host:PATH` for
    one outside; `passed socket` for a connection that nobody accounts for.
    """

    fd: int
    kind: str


@dataclass(frozen=True)
class Limits:
    """What is enforced; None is no limit."""

    memory: int | None = None
    processes: int | None = None
    descriptors: int | None = None


@dataclass(frozen=True)
class Expected:
    """What the build says should be there: the compiled filter's digest and the digests of files."""

    filter: str | None = None
    files: Mapping[str, str] = EMPTY


@dataclass(frozen=True)
class RunningApp:
    """One app as the kernel sees it.

    Attributes:
        uid: of its processes, as the host sees it.
        capabilities: the union of its effective, permitted and ambient sets, as a bit mask.
        no_new_privs: the kernel refuses to give it more by an exec.
        seccomp: "none", "strict" or "filter".
        filter: SHA-256 of the compiled filter that it runs under; None where that cannot be read.
        allowed: system calls that the filter lets through; None where that is not known.
        default: what the filter does with every other call: "kill", "notify", "errno" or "allow".
        namespaces: kind → inode.
        descriptors: what it has open.
        writable: directories that it may write to.
        listening: sockets that accept connections, such as `tcp 0.0.0.0:22`.
        limits: that are enforced.
        files: path → SHA-256 of what it runs.
        expected: what those should be.
    """

    uid: int
    capabilities: int
    no_new_privs: bool
    seccomp: str
    filter: str | None = None
    allowed: tuple[str, ...] | None = None
    default: str = "kill"
    namespaces: Mapping[str, int] = EMPTY
    descriptors: tuple[Descriptor, ...] = ()
    writable: tuple[str, ...] = ()
    listening: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    files: Mapping[str, str] = EMPTY
    expected: Expected = field(default_factory=Expected)


@dataclass(frozen=True)
class RunningFacts:
    """A running system: apps, message servers, the host's namespaces, and how its kernel was started."""

    apps: Mapping[str, RunningApp]
    msg_servers: Mapping[str, RunningApp] = EMPTY
    namespaces: Mapping[str, int] = EMPTY
    kernel_command_line: str | None = None

    @property
    def sandboxes(self) -> list[tuple[str, RunningApp]]:
        """Apps and message servers by name: whatever must be confined."""
        return sorted({**self.msg_servers, **self.apps}.items())


def parse_status(value: Any) -> RunningFacts:
    """The facts in a status document.

    Raises:
        AssuranceError: anything that is not one.
    """
    try:
        return _STATUS.load(value, "status")
    except ManifestError as error:
        raise AssuranceError(error.message, hint=error.hint) from None


def _optional(kind: Field, default: Any) -> Member:
    return Member(kind, default, omit=True)


_DIGESTS = MapOf(_PATH, SHA256, ITEMS_MAX)
_INODES = MapOf(_WORD, _U64, 16)
_MAYBE = Nullable(_U64)
_APP = Record(
    RunningApp,
    {
        "uid": Member(_U64),
        "capabilities": Member(Whole(0, (1 << 64) - 1)),
        "no_new_privs": Member(Flag()),
        "seccomp": Member(Choice("none", "strict", "filter")),
        "filter": _optional(Nullable(SHA256), None),
        "allowed": _optional(Nullable(ListOf(_WORD, CALLS_MAX)), None),
        "default": _optional(Choice("kill", "notify", "errno", "allow"), "kill"),
        "namespaces": _optional(_INODES, EMPTY),
        "descriptors": _optional(
            ListOf(Record(Descriptor, {"fd": Member(_U64), "kind": Member(_PATH)}), ITEMS_MAX), ()
        ),
        "writable": _optional(ListOf(_PATH, ITEMS_MAX), ()),
        "listening": _optional(ListOf(_WORD, ITEMS_MAX), ()),
        "limits": _optional(
            Record(
                Limits, {name: _optional(_MAYBE, None) for name in ("memory", "processes", "descriptors")}
            ),
            Limits(),
        ),
        "files": _optional(_DIGESTS, EMPTY),
        "expected": _optional(
            Record(
                Expected,
                {"filter": _optional(Nullable(SHA256), None), "files": _optional(_DIGESTS, EMPTY)},
            ),
            Expected(),
        ),
    },
)
_STATUS = Record(
    RunningFacts,
    {
        "apps": Member(MapOf(APP_NAME, _APP, limits.APPS_MAX)),
        "msg_servers": _optional(MapOf(MSG_SERVER_NAME, _APP, limits.MSG_SERVERS_MAX), EMPTY),
        "namespaces": _optional(_INODES, EMPTY),
        "kernel_command_line": _optional(Nullable(Text(4096)), None),
    },
)
