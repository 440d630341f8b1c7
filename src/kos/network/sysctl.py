"""Settings below /proc/sys/net of a network namespace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kos.network.namespaces import in_namespace

# With ::1 the kernel gets as far as looking for a route, finds none and counts it.
ONLY_LOOPBACK_IPV6 = {
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
    "ipv6/conf/lo/disable_ipv6": "0",
}
NO_IPV6 = {"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1"}


def set_sysctl(namespace: int, values: Mapping[str, str]) -> None:
    """Write settings; one that this kernel does not have is left out, because it has nothing to set."""

    def write() -> None:
        for name, value in values.items():
            path = Path("/proc/sys/net") / name
            if path.exists():
                path.write_text(value)

    in_namespace(namespace, write)
