"""What a device mounts, and where its partitions are. The root is mounted already, read-only, by the
initramfs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

from kos.abi.errors import KosError
from kos.device.init import children

_LIBC = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME = 1, 2, 4, 8, 1024
_TMP = MS_NOSUID | MS_NODEV

# (source, target, type, flags, options). Apps see none of this, only what their sandbox makes of it.
BASE = (
    ("tmpfs", "/run", "tmpfs", _TMP, "mode=0755,size=25%"),
    ("tmpfs", "/tmp", "tmpfs", _TMP, "mode=1777,size=25%"),
    ("cgroup2", "/sys/fs/cgroup", "cgroup2", _TMP | MS_NOEXEC, "nsdelegate"),
    ("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0600,ptmxmode=0666"),
)
# The initramfs made these of its own files.
_RAM = {"kos-data": Path("/dev/loop1"), "kos-keys": Path("/dev/loop2")}
_FOR_STORAGE = ("crc32c_generic", "ext4")
DATA, KEYS = Path("/data"), Path("/keys")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """The system call.

    Raises:
        KosError: it failed.
    """
    words = [text.encode() for text in (source, target, kind, options)]
    if _LIBC.mount(words[0], words[1], words[2], flags, words[3]):
        raise KosError(f"cannot mount {kind} on {target}: {os.strerror(ctypes.get_errno())}", where=source)


def mount_base() -> None:
    """Everything that is not on the storage."""
    for source, target, kind, flags, options in BASE:
        if target.startswith("/dev/"):
            Path(target).mkdir(exist_ok=True)
        mount(source, target, kind, flags, options)


def partition(name: str) -> Path:
    """The device of the partition that the GPT calls `name`.

    Raises:
        KosError: there is none.
    """
    wanted = f"PARTNAME={name}"
    for entry in sorted(Path("/sys/class/block").iterdir()):
        if wanted in (entry / "uevent").read_text().splitlines():
            return Path("/dev", entry.name)
    raise KosError(f"the storage has no partition {name}")


def in_ram() -> bool:
    """Whether this system was started from RAM and its storage is there too: nothing outlives it."""
    return command_line().get("root") == "ram"


def storage(name: str) -> Path:
    """The device of a partition, or what stands for it in RAM."""
    return _RAM[name] if in_ram() else partition(name)


def mount_storage() -> None:
    """The data and the key partition. A data partition that the kernel refuses is repaired first."""
    data = str(storage("kos-data"))
    flags = MS_NOSUID | MS_NODEV | MS_NOATIME
    try:
        mount(data, str(DATA), "ext4", flags)
    except KosError:
        _run("/usr/sbin/e2fsck", "-y", data)
        mount(data, str(DATA), "ext4", flags)
    mount(str(storage("kos-keys")), str(KEYS), "ext4", flags | MS_NOEXEC)


def start_drivers() -> int:
    """Load drivers in a process of its own, which `wait_for_drivers` waits for."""
    return children.start(load_drivers)


def wait_for_drivers(pid: int) -> None:
    """Return when all are loaded.

    Raises:
        KosError: something else happened than a module that does not load.
    """
    _pid, status = os.waitpid(pid, 0)
    if status:
        raise KosError(f"loading drivers ended with {os.waitstatus_to_exitcode(status)}")


def load_drivers() -> None:
    """Load the modules of all devices that are there already; the kernel asks for others as they come."""
    # With the drivers: else the kernel starts a modprobe for each when the storage is mounted, while
    # everything waits for it.
    _modprobe("--use-blacklist", *_FOR_STORAGE, *sorted(aliases()))
    if not Path("/dev/watchdog0").exists():
        _modprobe(
            "softdog"
        )  # no hardware that the kernel knows: its own clock then, which is better than none


def aliases(sys: str = "/sys") -> set[str]:
    """What the devices of every bus, and the processor, ask for.

    Each is looked up by its name: a walk through all of /sys/devices reads twenty names for each that
    matters, and on 32-bit Arm the kernel pays for every name in steps of four bytes.
    """
    places = [f"{sys}/devices/system/cpu"]
    for bus in os.listdir(f"{sys}/bus"):
        devices = f"{sys}/bus/{bus}/devices"
        places += [f"{devices}/{name}" for name in os.listdir(devices)]
    found = set()
    for place in places:
        with contextlib.suppress(OSError):  # it has none, or was taken away just now
            with open(f"{place}/modalias", "rb") as file:
                found.add(file.read().decode().strip())
    return found - {""}


def _modprobe(*words: str) -> None:
    _run("/usr/sbin/modprobe", "--all", "--quiet", *words)


def _run(*command: str) -> None:
    """Run a program without input to its end, whatever that is. `subprocess` takes longer to import."""
    null = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
    os.waitpid(os.posix_spawn(command[0], command, os.environ, file_actions=[null]), 0)


def command_line() -> dict[str, str]:
    """The kernel's command line, as far as it is `kos.KEY=VALUE`: KEY → VALUE."""
    words = Path("/proc/cmdline").read_text().split()
    pairs = (word.removeprefix("kos.").partition("=") for word in words if word.startswith("kos."))
    return {key: value for key, _equals, value in pairs}
