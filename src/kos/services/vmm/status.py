"""The counters of a running guest, as JSON: processor, memory, disks, network."""

from __future__ import annotations

import json
import os

from kos.services.vmm.machine import Machine

DISK_COUNTERS = ("rd_bytes", "wr_bytes", "rd_operations", "wr_operations")
ANSWER_SECONDS = 1.0  # for QEMU to tell its disks' counters


def status(machine: Machine) -> bytes:
    """`cpu_seconds`, `resident` bytes, `disks` name → counters, `net` of the app's own interface."""
    found = {"memory": machine.guest.memory, **_process(machine.pid)}
    try:
        told = machine.qmp.call("query-blockstats", ANSWER_SECONDS) if machine.qmp else []
        found["disks"] = {
            disk.image: {name: stats[name] for name in DISK_COUNTERS}
            for disk, stats in _by_disk(machine, told)
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        found["disks_error"] = type(error).__name__
    found["net"] = _interface("eth0")
    return json.dumps(found).encode()


def _by_disk(machine: Machine, told: object) -> list:
    nodes = {each.get("node-name"): each["stats"] for each in told if isinstance(each, dict)}
    return [
        (disk, nodes[f"disk{number}"])
        for number, disk in enumerate(machine.guest.disks)
        if f"disk{number}" in nodes
    ]


def _process(pid: int) -> dict:
    """Of QEMU, from proc(5): stat's fields 14 and 15 in clock ticks, statm's second in pages."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
    except OSError:
        return {}
    ticks = int(fields[11]) + int(fields[12])
    return {
        "cpu_seconds": ticks / os.sysconf("SC_CLK_TCK"),
        "resident": pages * os.sysconf("SC_PAGE_SIZE"),
    }


def _interface(name: str) -> dict:
    """Bytes and packets of the interface that the guest's connections go through."""
    try:
        with open("/proc/self/net/dev", encoding="ascii") as file:
            lines = [line.split(":", 1) for line in file if ":" in line]
    except OSError:
        return {}
    values = next((rest.split() for found, rest in lines if found.strip() == name), None)
    if values is None:
        return {}
    return {
        "rx_bytes": int(values[0]),
        "rx_packets": int(values[1]),
        "tx_bytes": int(values[8]),
        "tx_packets": int(values[9]),
    }
