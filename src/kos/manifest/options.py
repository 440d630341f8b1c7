"""System-wide options: what `Context.set_kos_options` takes, each with its default.

A manifest carries only the options that differ from their default.
"""

from __future__ import annotations

from collections.abc import Mapping

from kos.abi.records import dataclass, fields
from kos.manifest import limits
from kos.manifest.fields import Flag, MapOf, Member, Nullable, Number, Record, Text, Whole
from kos.manifest.frozen import EMPTY
from kos.manifest.names import APP_NAME, IPV4


@dataclass(frozen=True)
class TunnelIp:
    """An app's own address behind the tunnel, in IPv4: the reference's ADDR, MASK and GW.

    Attributes:
        address: the app's own.
        mask: of its network, such as `255.255.255.0`.
        gateway: that answers for everything else.
    """

    address: str
    mask: str
    gateway: str

    def __post_init__(self) -> None:
        TUNNEL_IP.check(self, "TunnelIp")


@dataclass(frozen=True)
class Options:
    """System-wide options.

    Attributes:
        persistent_boot: the device boots from its storage and keeps generations.
        disable_signing: accept manifests that nobody signed. For development only.
        tracing: apps that the manifest connects to the trace server leave a record of each message.
        unsafe_trace_payloads: traces hold what messages say, not only that they were sent.
        remote_shell: a live interpreter inside a running Python app, and a microVM's console, may be asked
            for, of apps with `debug=True`.
        debugger: a debugger may attach to a C app with `debug=True`.
        watchdog: seconds without a sign of life after which the hardware restarts the device; 0 is off.
        boot_attempts: starts that a new generation may use until it is good; 0 means that nothing falls back.
        health_check: a new generation is good only when self_test passed.
        server_check: and only when the server was reached.
        downgrade_protection: refuse a release older than the one that runs.
        tunnel_ips: the address of each app that the tunnel serves.
        data_size: bytes of the data partition; None leaves it to the platform.
        kernel_command_line: words added to the platform's own; None adds none.
    """

    persistent_boot: bool = False
    disable_signing: bool = False
    tracing: bool = False
    unsafe_trace_payloads: bool = False
    remote_shell: bool = False
    debugger: bool = False
    watchdog: float = 30.0
    boot_attempts: int = 3
    health_check: bool = True
    server_check: bool = False
    downgrade_protection: bool = True
    tunnel_ips: Mapping[str, TunnelIp] = EMPTY
    data_size: int | None = None
    kernel_command_line: str | None = None

    def __post_init__(self) -> None:
        OPTIONS.check(self, "options")


TUNNEL_IP = Record(TunnelIp, {"address": Member(IPV4), "mask": Member(IPV4), "gateway": Member(IPV4)})
_KINDS = {
    "watchdog": Number(0, limits.SECONDS_MAX),
    "boot_attempts": Whole(0, limits.BOOT_ATTEMPTS_MAX),
    "tunnel_ips": MapOf(APP_NAME, TUNNEL_IP, limits.APPS_MAX),
    "data_size": Nullable(Whole(1, limits.STORAGE_BYTES_MAX)),
    "kernel_command_line": Nullable(Text(limits.ARGUMENT_MAX, "[ -~]*", "printable ASCII")),
}
# Every other option is a flag.
OPTIONS = Record(
    Options,
    {one.name: Member(_KINDS.get(one.name, Flag()), one.default, omit=True) for one in fields(Options)},
)
